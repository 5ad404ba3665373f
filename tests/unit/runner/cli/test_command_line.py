"""`qlib-shadow`: every mistake gives one sentence and an exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
DEMO = ROOT / "manifests" / "samples" / "demo.yaml"
HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run qlib-shadow in a process."""
    words = [sys.executable, "-m", "qlib_shadow_runner", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)


def test_demo_manifest_is_valid():
    """It is the first file that a user tries."""
    done = command("validate", DEMO)
    assert (done.returncode, done.stdout) == (0, f"{DEMO}: QlibShadowRun demo is valid\n")


FAULTS = {
    "no YAML": ("a: [", "is not YAML at line "),
    "no manifest": ("hello", "is not a Kubernetes manifest"),
    "nothing": ("", "holds nothing; exactly one QlibShadowRun is needed"),
    "a workflow for qrun": (
        "qlib_init: {provider_uri: {{ DATA }}}\nmarket: &market csi300\ntask: {}\n",
        "run.yaml is a workflow for qrun, not a QlibShadowRun; make one of it with: qlib-shadow adopt ",
    ),
    "a misspelt kind": (HEAD.replace("QlibShadowRun", "QlibShadowRuns"), 'did you mean "QlibShadowRun"?'),
    "two runs": (f"{HEAD}---\n{HEAD}", "holds QlibShadowRun, QlibShadowRun; exactly one"),
    "another version": (HEAD.replace("v1alpha1", "v2"), "write qlibshadow.io/v1alpha1"),
    "a name in capitals": (HEAD.replace("demo", "Demo"), 'has metadata.name "Demo"; it must be lower-case'),
    "a wrong field": (HEAD + "spec: {workflow: {markt: x}}\n", 'did you mean "market"?'),
}


@pytest.mark.parametrize(("content", "sentence"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("verb", ["validate", "run", "render"])
def test_wrong_manifest_is_one_sentence_and_exit_code_10(
    tmp_path: Path, verb: str, content: str, sentence: str
):
    """For every command that reads one; no volume is created."""
    file = tmp_path / "run.yaml"
    file.write_text(content)
    done = command(verb, file, cwd=tmp_path)
    assert done.returncode == 10
    assert done.stderr.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_missing_manifest_is_named(tmp_path: Path):
    """With the reason of the operating system."""
    done = command("run", tmp_path / "none.yaml")
    assert (done.returncode, "none.yaml cannot be read: No such file" in done.stderr) == (10, True)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "x", "--fast"], ["stage", "trade"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]):
    """With the usage line, as other commands have it."""
    done = command(*arguments)
    assert (done.returncode, "usage: qlib-shadow" in done.stderr) == (2, True)


def test_failed_run_prints_reason_and_log_and_exits_with_the_code_of_the_stage(tmp_path: Path):
    """The reason is the same as in a cluster."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD + "spec: {runId: mine}\n")
    done = command("run", file, cwd=tmp_path)
    log = "data/artifacts/trading-ops/qlib-shadow/mine/stderr.log"
    assert done.returncode == 11
    assert done.stderr.startswith("DatasetMissing: there is no dataset at ")
    assert done.stderr.endswith(f"\n  log: {log}\n")
    assert (tmp_path / log).is_file()
    assert "Traceback" not in done.stdout + done.stderr


def test_json_output_has_the_same_reason(tmp_path: Path):
    """Nothing else is printed."""
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


def test_render_without_a_dataset_says_how_to_get_one(tmp_path: Path):
    """It does not create one."""
    done = command("render", DEMO, "--data", tmp_path)
    assert (done.returncode, "Run the manifest once" in done.stderr) == (11, True)


def test_verify_rejects_a_folder_without_files_of_a_run(tmp_path: Path):
    """One file of a run is enough for it to start."""
    for folder, fault in ((tmp_path / "none", "is not a folder"), (tmp_path, "is not a run folder")):
        done = command("verify", folder)
        assert (done.returncode, done.stdout) == (10, "")
        assert f"{folder} {fault}" in done.stderr
    (tmp_path / "stdout.log").touch()
    done = command("verify", tmp_path)
    assert (done.returncode, "golden run: FAIL (0/17)" in done.stdout) == (1, True)


def test_version_loads_no_large_package():
    """So that it answers at once."""
    code = (
        "import sys, contextlib\nfrom qlib_shadow_runner.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--version'])\n"
        "print(*{'numpy', 'pandas', 'yaml', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"qlib-shadow \d+\.\d+\.\d+\n\n", done.stdout)
