"""`qlib-shadow`: a sentence and an exit code for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qlib_shadow_runner.cli.run_manifest import load_manifest, local_run_id
from qlib_shadow_runner.cli.stage_progress import StageProgress
from qlib_shadow_runner.contract import RUN_ID_MAX, Stage, run_id_fault

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "manifests" / "samples" / "demo.yaml"
HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow."""
    words = [sys.executable, "-m", "qlib_shadow_runner", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_sample_is_valid():
    """The first file that a user tries."""
    done = command("validate", DEMO)
    assert (done.returncode, done.stdout) == (0, f"{DEMO}: QlibShadowRun demo is valid\n")


FAULTS = {
    "no YAML": ("a: [", "is not YAML at line "),
    "no manifest": ("hello", "is not a Kubernetes manifest"),
    "nothing": ("", "holds nothing; exactly one QlibShadowRun is needed"),
    "a misspelt kind": (HEAD.replace("QlibShadowRun", "QlibShadowRuns"), 'did you mean "QlibShadowRun"?'),
    "two runs": (f"{HEAD}---\n{HEAD}", "holds QlibShadowRun, QlibShadowRun; exactly one"),
    "another version": (HEAD.replace("v1alpha1", "v2"), "write qlibshadow.io/v1alpha1"),
    "a name in capitals": (HEAD.replace("demo", "Demo"), 'has metadata.name "Demo"; it must be lower-case'),
    "a wrong field": (HEAD + "spec: {workflow: {markt: x}}\n", 'did you mean "market"?'),
}


@pytest.mark.parametrize(("content", "sentence"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("verb", ["validate", "run", "render"])
def test_a_wrong_file_is_one_sentence_and_ten(tmp_path: Path, verb: str, content: str, sentence: str):
    """Whatever was to be done with it; nothing is made."""
    file = tmp_path / "run.yaml"
    file.write_text(content)
    done = command(verb, file, cwd=tmp_path)
    assert done.returncode == 10
    assert done.stderr.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_missing_file_is_named(tmp_path: Path):
    """The usual mistake."""
    done = command("run", tmp_path / "none.yaml")
    assert (done.returncode, "none.yaml cannot be read: No such file" in done.stderr) == (10, True)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "x", "--fast"], ["stage", "trade"]])
def test_wrong_usage_is_two(arguments: list[str]):
    """As every command line has it."""
    done = command(*arguments)
    assert (done.returncode, "usage: qlib-shadow" in done.stderr) == (2, True)


def test_a_run_that_fails_says_why_and_where_and_leaves_with_the_stages_code(tmp_path: Path):
    """Without a cluster the reason is the same."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD + "spec: {runId: mine}\n")
    done = command("run", file, cwd=tmp_path)
    log = "data/artifacts/trading-ops/qlib-shadow/mine/stderr.log"
    assert done.returncode == 11
    assert done.stderr.startswith("DatasetMissing: there is no dataset at ")
    assert done.stderr.endswith(f"\n  log: {log}\n")
    assert (tmp_path / log).is_file()
    assert "Traceback" not in done.stdout + done.stderr


def test_json_says_the_same_to_a_program(tmp_path: Path):
    """And nothing else is printed."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD)
    done = command("run", file, "--data", tmp_path / "vol", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exitCode"], document["reason"], done.stderr) == (
        11,
        11,
        "DatasetMissing",
        "",
    )


def test_rendering_needs_a_dataset_and_says_so(tmp_path: Path):
    """It makes none."""
    done = command("render", DEMO, "--data", tmp_path)
    assert (done.returncode, "Run the manifest once" in done.stderr) == (11, True)


def test_verify_wants_a_run_folder(tmp_path: Path):
    """Not a file, not nothing, and not somebody's home; of a run one file is enough to begin with."""
    for folder, fault in ((tmp_path / "none", "is not a folder"), (tmp_path, "is not a run folder")):
        done = command("verify", folder)
        assert (done.returncode, done.stdout) == (10, "")
        assert f"{folder} {fault}" in done.stderr
    (tmp_path / "stdout.log").touch()
    done = command("verify", tmp_path)
    assert (done.returncode, "golden run: FAIL (0/14)" in done.stdout) == (1, True)


def test_the_version_is_quick_to_say():
    """Nothing heavy is loaded for it."""
    code = (
        "import sys, contextlib\nfrom qlib_shadow_runner.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--version'])\n"
        "print(*{'numpy', 'pandas', 'yaml', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"qlib-shadow \d+\.\d+\.\d+\n\n", done.stdout)


@pytest.mark.parametrize("name", ["demo", "n" * 60, "a-" * 20 + "b", "x." * 30 + "y"])
def test_a_run_is_named_after_its_manifest_and_the_time(name: str):
    """Every name gives a run id that the volume takes."""
    run_id = local_run_id(name, datetime(2026, 11, 21, 10, 15, tzinfo=UTC))
    assert re.search(r"-20261121t101500-[0-9a-f]{4}$", run_id)
    assert len(run_id) <= RUN_ID_MAX
    assert run_id_fault(run_id) is None


def test_dates_in_yaml_are_words_as_in_a_cluster(tmp_path: Path):
    """YAML makes dates of what JSON has no word for."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD + "spec: {dataset: {source: {synthetic: {start: 2019-01-02}}}}\n")
    request = load_manifest(file).request(datetime.now(UTC))
    assert json.loads(json.dumps(request))["spec"]["dataset"]["source"]["synthetic"]["start"] == "2019-01-02"


def test_progress_is_read_from_what_qrun_prints():
    """Steps come in order; a line that is missing does not hold the others up."""
    progress = StageProgress(Stage.QRUN)
    assert progress.read("… INFO - qlib successfully initialized based on client settings.") == "features"
    assert progress.read("noise") is None
    assert progress.read("… Create new exchange") == "backtest"
    assert progress.read("backtest loop:   0%|          | 0/361 [00:00<?, ?it/s]") is None
    assert progress.read("Training until validation scores don't improve") is None
    assert progress.read("exporting signals, metrics and summary") == "export"
    assert progress.read("making the report") == "report"


def test_a_backtest_that_begins_in_silence_is_seen_by_its_loop():
    """As with the fast engine's exchange, which Qlib does not announce."""
    assert (
        StageProgress(Stage.QRUN).read("backtest loop:   0%|          | 0/361 [00:00<?, ?it/s]") == "backtest"
    )
