"""The JSON output of every command, and of every failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.exit_codes import EXIT_CODES
from qlib_shadow_runner.cli.parser import all_options, build_parser, subcommands
from qlib_shadow_runner.contract import ENV_DATA, ExitCode
from qlib_shadow_runner.dataset.ensure import ensure
from qlib_shadow_runner.spec import parse_spec

ROOT = Path(__file__).resolve().parents[4]
SILENT = {"stage", "completion"}
"""The result of a stage is in the run folder, and a script is for a shell."""
SPEC = "spec: {dataset: {source: {synthetic: {symbols: 20, days: 1000}}}}\n"
HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"


def test_every_command_has_a_json_option():
    """Also a command that is added later."""
    with_json = {
        name for name, command in subcommands(build_parser()).items() if "--json" in all_options(command)
    }
    assert with_json == set(subcommands(build_parser())) - SILENT


@pytest.mark.parametrize(
    ("words", "reason", "code"),
    [
        (["run", "none.yaml"], "InvalidSpec", 10),
        (["download", "none.yaml"], "InvalidSpec", 10),
        (["validate", "none.yaml"], "InvalidSpec", 10),
        (["render", "none.yaml"], "InvalidSpec", 10),
        (["verify", "unknown"], "InvalidSpec", 10),
        (["runs", "--data", "none"], "InvalidSpec", 10),
        (["show", "unknown"], "InvalidSpec", 10),
        (["prune"], "InvalidSpec", 10),
        (["doctor", "--dta", "x"], "WrongUsage", 2),
        (["fly"], "WrongUsage", 2),
        ([], "WrongUsage", 2),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else None,
)
def test_failure_has_reason_message_and_exit_code(
    *,
    words: list[str],
    reason: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """On stdout, which the program reads; stderr stays empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENV_DATA, raising=False)
    assert main([*words, "--json"]) == code
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (set(document), document["reason"], document["exitCode"], output.err) == (
        {"reason", "message", "exitCode"},
        reason,
        code,
        "",
    )
    assert document["message"]


def test_rendered_workflow_comes_with_its_hashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The text is the same as without --json."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD + SPEC)
    spec = parse_spec({"dataset": {"source": {"synthetic": {"symbols": 20, "days": 1000}}}}).dataset
    ensure(tmp_path / "data/qlib/qlib_data/us_data_1d", spec)
    words = ["render", str(file), "--data", str(tmp_path / "data")]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["text"] == text
    assert document["workflow"]["task"]["model"]["class"] == "LGBModel"
    assert len(document["configHash"]) == len(document["sha256"]) == 64


def test_verify_finds_a_run_on_the_volume_of_option_environment_or_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The option overrides the environment, which overrides the default."""
    monkeypatch.chdir(tmp_path)
    for place in ("data", "by-environment", "by-flag"):
        folder = tmp_path / place / "artifacts/trading-ops/qlib-shadow" / f"in-{place}"
        folder.mkdir(parents=True)
        (folder / "RUN_METADATA.json").write_text(json.dumps({"run_id": folder.name}))
    monkeypatch.delenv(ENV_DATA, raising=False)
    assert main(["verify", "in-data"]) == 1  # the run is found, and fails the checks
    monkeypatch.setenv(ENV_DATA, "by-environment")
    assert [main(["verify", name]) for name in ("in-by-environment", "in-data")] == [1, 10]
    assert [main(["verify", name, "--data", "by-flag"]) for name in ("in-by-flag", "in-data")] == [1, 10]
    assert "golden run: FAIL" in capsys.readouterr().out


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]):
    """Those of the stages too."""
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert {int(code) for code in ExitCode} < set(EXIT_CODES)
    assert all(f"  {code:>3}  {meaning}\n" in printed for code, meaning in EXIT_CODES.items())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["valdate", "x"], "invalid choice: 'valdate'; did you mean \"validate\"?"),
        (["runs", "--jsno"], 'unrecognized arguments: --jsno; did you mean "--json"?'),
        (["stage", "downlaod"], "invalid choice: 'downlaod'; did you mean \"download\"?"),
        (["runs", "--dat", "x"], 'unrecognized arguments: --dat x; did you mean "--data"?'),
        (["prune", "--datasets", "--run-folders"], "not allowed with argument --datasets"),
    ],
)
def test_misspelt_argument_suggests_the_nearest_word(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
):
    """It does not list all words."""
    assert main(words) == 2
    output = capsys.readouterr().err
    assert output.startswith("usage: qlib-shadow ")
    assert hint in output.splitlines()[-1]
