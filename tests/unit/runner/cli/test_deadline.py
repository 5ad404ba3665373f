"""A stage on a laptop ends at its deadline, with the reason and the sentence of a cluster."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.deadline import deadlines
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage.lock import locked

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: demo}
spec:
  runId: mine
  dataset: {source: {synthetic: {symbols: 10, days: 260}}}
  stages: {download: {activeDeadlineSeconds: 1}}
"""


def test_a_stage_that_takes_too_long_is_ended_with_the_sentence_of_a_cluster(tmp_path: Path):
    """It waits for a dataset that this process seems to build; --deadline overrides the spec."""
    (tmp_path / "run.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "qlib_shadow_runner", "run", "run.yaml", "--data", "data"]
    with locked(tmp_path / "data/qlib/qlib_data/us_data_1d"):
        first, second = (
            subprocess.run([*command, *more], cwd=tmp_path, check=False, capture_output=True, text=True)
            for more in ([], ["--deadline", "2s"])
        )
    sentence = reasons.deadline_exceeded(Stage.DOWNLOAD, 1, None)
    assert first.stderr.startswith(f"DeadlineExceeded: {sentence}.\n"), first.stderr
    assert "to continue it: qlib-shadow run run.yaml" in first.stderr
    assert "within its 2 s deadline. Give --deadline more, or none.\n" in second.stderr
    assert (first.returncode, second.returncode) == (143, 143)


def test_the_run_folder_says_why_and_that_the_run_may_continue(tmp_path: Path):
    """Whether the stage wrote that it was told to stop, or was killed before."""
    deadline, folder = deadlines(parse_spec({}), "8h")[Stage.QRUN], RunFolder(tmp_path)
    result = deadline.result({"stage": "qrun", "exitCode": -9})
    deadline.record(folder, result)
    assert folder.metadata == {}
    begun = {"download": {"attempts": 1}, "qrun": {"attempts": 2, "seconds": 5}}
    folder.update_metadata(status="running", reason=None, stages=begun)
    deadline.record(folder, result)
    metadata = folder.metadata
    assert (metadata["status"], metadata["reason"]) == ("interrupted", "DeadlineExceeded")
    record = folder.stage_record(Stage.QRUN)
    assert record.pop("finished_at_utc") == metadata["finished_at_utc"]
    assert record == {"attempts": 2, "seconds": 5, "reason": "DeadlineExceeded", "exit_code": 143}
    assert folder.stage_record(Stage.DOWNLOAD) == {"attempts": 1}


HANGS = """
import signal, subprocess, sys
from qlib_shadow_runner.cli import deadline
deadline.GRACE_SECONDS = 0.2
stage = '''
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "infinity"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
'''
limit = deadline.Deadline(deadline.Stage.QRUN, 1, "")
command = [sys.executable, "-c", stage]
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
with limit.ends(child), child:
    output = child.stdout.read()
print(limit.passed, output)
"""


def test_a_stage_that_does_not_stop_is_killed_with_its_children():
    """Also one that has left its session, and would keep the pipe open."""
    done = subprocess.run(
        [sys.executable, "-c", HANGS], check=True, capture_output=True, text=True, timeout=60
    )
    passed, pid = done.stdout.split()
    assert passed == "True"
    assert subprocess.run(["kill", "-0", pid], check=False, capture_output=True).returncode == 1


def test_the_default_is_that_of_the_operator():
    """A run that ends in a cluster ends here; --deadline none is for one that takes longer."""
    found = {stage: one.seconds for stage, one in deadlines(parse_spec({}), None).items()}
    assert found == {stage: Defaults().stage(stage).active_deadline_seconds for stage in Stage}
    assert {one.seconds for one in deadlines(parse_spec({}), "none").values()} == {None}


@pytest.mark.parametrize("wrong", ["0", "-1", "1w", "31d", "1.5h", "", "9999999999", "nonE"])
def test_a_wrong_time_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str):
    """Before anything is run."""
    (tmp_path / "run.yaml").write_text(MANIFEST)
    for command in ("run", "download"):
        words = [command, str(tmp_path / "run.yaml"), "--data", str(tmp_path / "data"), f"--deadline={wrong}"]
        assert main(words) == 10
        sentence = f'--deadline must be a time of at most 30d, such as 90s, 45m or 8h, or none, not "{wrong}"'
        assert capsys.readouterr().err == f"qlib-shadow: InvalidSpec: {sentence}\n"
    assert not (tmp_path / "data").exists()
