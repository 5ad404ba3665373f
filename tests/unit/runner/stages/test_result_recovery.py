"""A recovery delivers the recorded result from the run folder and repeats no work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ENV_DATA, ENV_REQUEST, ExitCode, Reason

if TYPE_CHECKING:
    from pathlib import Path

StageEnviron = Callable[..., dict[str, str]]
SMALL: dict[str, object] = {"dataset": {"source": {"synthetic": {"symbols": 10, "days": 250}}}}
RESULTS = "data/artifacts/trading-ops/qlib-shadow/demo-1/results"
HEAVY = {"numpy", "pandas", "qlib", "lightgbm", "mlflow", "pyarrow", "yaml", "jinja2"}
RECORDED: dict[str, object] = {
    "stage": "qrun",
    "runId": "demo-1",
    "uid": "uid-1",
    "reason": "Succeeded",
    "message": "IC 0.037",
    "exitCode": 0,
    "startedAt": "2026-01-01T00:00:00.000Z",
    "finishedAt": "2026-01-01T00:01:00.000Z",
    "artifactPath": "/data/artifacts/trading-ops/qlib-shadow/demo-1",
    "metrics": {"ic": 0.037},
    "configHash": "abc",
}
"""What a stage leaves in the run folder."""


def report(stage: str, environ: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    """Recover a result as the operator's Job does."""
    command = [sys.executable, *flags, "-m", "qlib_shadow_runner", "stage", stage, "--report"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def record(tmp_path: Path, content: str, stage: str = "qrun") -> Path:
    """Put a result into the run folder."""
    folder = tmp_path / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.json").write_text(content)
    return folder


def message(tmp_path: Path) -> dict[str, object]:
    """Read the termination message."""
    content: dict[str, object] = json.loads((tmp_path / "termination-log").read_bytes())
    return content


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Return the content and time of every file."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_recorded_result_is_delivered_and_nothing_changes(tmp_path: Path, stage_environ: StageEnviron):
    """The result equals that of the stage, and the process writes nothing on the volume."""
    environ = stage_environ(SMALL)
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", "download"]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    first = message(tmp_path)
    (tmp_path / "termination-log").unlink()
    before = files(tmp_path / "data")
    done = report("download", environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("recovered: download ended with Succeeded: synthetic")
    assert message(tmp_path) == first
    assert files(tmp_path / "data") == before


def test_recorded_failure_is_delivered_with_its_exit_code(tmp_path: Path, stage_environ: StageEnviron):
    """A recovery Job ends with the exit code of the recorded failure."""
    failed = {**RECORDED, "reason": "DatasetStale", "message": "too old", "exitCode": 11}
    record(tmp_path, json.dumps(failed))
    done = report("qrun", stage_environ())
    assert (done.returncode, message(tmp_path)) == (11, failed)
    assert done.stderr == "DatasetStale: too old\n"


WRONG: dict[str, tuple[str, str]] = {
    "not JSON": ("{", "is not a JSON object"),
    "empty": ("", "is not a JSON object"),
    "a list": ("[]", "is not a JSON object"),
    "nothing in it": ("{}", "stage is not text"),
    "another run's uid": (json.dumps({**RECORDED, "uid": "uid-2"}), 'its uid is "uid-2", not "uid-1"'),
    "another run's id": (json.dumps({**RECORDED, "runId": "x"}), 'its runId is "x", not "demo-1"'),
    "another stage": (json.dumps({**RECORDED, "stage": "download"}), 'its stage is "download", not "qrun"'),
    "no exit code": (json.dumps({**RECORDED, "exitCode": None}), "its exitCode is None"),
    "no exit code but a truth": (json.dumps({**RECORDED, "exitCode": True}), "its exitCode is True"),
    "a code no process has": (json.dumps({**RECORDED, "exitCode": 256}), "its exitCode is 256"),
    "a success that failed": (json.dumps({**RECORDED, "exitCode": 1}), "contradict each other"),
    "a failure that succeeded": (json.dumps({**RECORDED, "reason": "OutOfDisk"}), "contradict each other"),
    "a figure that is none": (json.dumps({**RECORDED, "metrics": {"ic": float("nan")}}), "is not a number"),
    "no message": (json.dumps({**RECORDED, "message": 1}), "message is not text"),
}


@pytest.mark.parametrize(("content", "fault"), WRONG.values(), ids=WRONG)
def test_document_that_is_not_this_runs_result_is_refused(
    tmp_path: Path, stage_environ: StageEnviron, content: str, fault: str
):
    """In one sentence, with a code that is not tried again."""
    record(tmp_path, content)
    done = report("qrun", stage_environ())
    reported = message(tmp_path)
    assert (done.returncode, reported["exitCode"], reported["reason"]) == (11, 11, "ResultMissing")
    assert fault in str(reported["message"])
    assert "results/qrun.json" in str(reported["message"])
    assert (reported["uid"], reported["stage"]) == ("uid-1", "qrun")
    assert "Traceback" not in done.stderr


def test_missing_folder_is_not_created(tmp_path: Path, stage_environ: StageEnviron):
    """A recovery only reads."""
    done = report("qrun", stage_environ())
    assert (done.returncode, message(tmp_path)["reason"]) == (ExitCode.BAD_DATA, Reason.RESULT_MISSING)
    assert "qrun.json is not there" in str(message(tmp_path)["message"])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [({ENV_REQUEST: "{"}, 10, "is not JSON"), ({ENV_DATA: "/proc/self/mem"}, 11, "is not there")],
    ids=["no request", "no volume"],
)
def test_invalid_environment_is_reported(
    tmp_path: Path, stage_environ: StageEnviron, changes: dict[str, str], code: int, sentence: str
):
    """As every stage does."""
    done = report("qrun", {**stage_environ(), **changes})
    assert (done.returncode, message(tmp_path)["exitCode"]) == (code, code)
    assert sentence in str(message(tmp_path)["message"])


def test_recovery_imports_no_large_library(tmp_path: Path, stage_environ: StageEnviron):
    """The Job must be short and small."""
    record(tmp_path, json.dumps(RECORDED))
    done = report("qrun", stage_environ(), "-X", "importtime")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "qlib_shadow_runner" in imported
    assert imported.isdisjoint(HEAVY)
