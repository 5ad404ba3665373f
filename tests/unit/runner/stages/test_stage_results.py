"""Exit code, result and metadata of a stage agree, however it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.runner.stage_processes import freeze, step_of

from qlib_shadow_runner.contract import ENV_DATA, ENV_REQUEST, ENV_TEMPLATE, ExitCode, Reason
from qlib_shadow_runner.errors import from_os_error, volume_not_writable
from qlib_shadow_runner.workflow.templates import read_template

StageEnviron = Callable[..., dict[str, str]]
SMALL: dict[str, object] = {"dataset": {"source": {"synthetic": {"symbols": 10, "days": 250}}}}


def stage(name: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a stage as a Job does."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", name]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def start(name: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start a stage and wait until it has begun."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", name]
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert f"stage {name} attempt 1" in process.stdout.readline()
    return process


def folder(tmp_path: Path) -> Path:
    """Return the run folder."""
    return tmp_path / "data/artifacts/trading-ops/qlib-shadow/demo-1"


def results(tmp_path: Path, name: str) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """Read result, termination message and metadata."""
    files = (
        folder(tmp_path) / f"results/{name}.json",
        tmp_path / "termination-log",
        folder(tmp_path) / "RUN_METADATA.json",
    )
    result, message, metadata = (json.loads(file.read_bytes()) for file in files)
    return result, message, metadata


def test_success_is_written_to_folder_and_termination_message(tmp_path: Path, stage_environ: StageEnviron):
    """In the folder and in the termination message alike."""
    done = stage("download", stage_environ(SMALL))
    result, message, metadata = results(tmp_path, "download")
    assert done.returncode == 0
    assert result == message
    assert (result["reason"], result["exitCode"], result["uid"]) == ("Succeeded", 0, "uid-1")
    assert result["artifactPath"] == "/data/artifacts/trading-ops/qlib-shadow/demo-1"
    assert isinstance(result["dataset"], dict)
    assert result["dataset"]["resolvedPath"] == metadata["dataset_resolved_path"]
    assert str(metadata["dataset_resolved_path"]).startswith("/data/qlib/qlib_data/us_data_1d@")
    assert (metadata["status"], metadata["finished_at_utc"]) == ("running", None)


def test_the_first_stage_makes_the_folder_of_all_books_where_its_run_has_a_ledger(
    tmp_path: Path, stage_environ: StageEnviron
):
    """Later stages mount it read-only, and the kubelet would make it as root, in whatever namespace."""
    books = folder(tmp_path).parent / "ledgers"
    assert stage("download", stage_environ({"dataset": "wrong"})).returncode == ExitCode.BAD_CONFIG
    assert not books.exists()
    environ = stage_environ({"dataset": "wrong", "ledger": {"book": "us"}})
    in_local = environ[ENV_REQUEST].replace('"here"', '"local"')
    assert stage("download", {**environ, ENV_REQUEST: in_local}).returncode == ExitCode.BAD_CONFIG
    assert books.is_dir()


def test_attempts_are_counted_and_the_first_start_is_kept(tmp_path: Path, stage_environ: StageEnviron):
    """A retry is the same run."""
    stage("download", stage_environ(SMALL))
    first = results(tmp_path, "download")[2]
    stage("download", stage_environ(SMALL))
    second = results(tmp_path, "download")[2]
    assert isinstance(second["stages"], dict)
    assert second["stages"]["download"]["attempts"] == 2
    assert second["started_at_utc"] == first["started_at_utc"]


def test_invalid_spec_is_reported_without_a_traceback(tmp_path: Path, stage_environ: StageEnviron):
    """The pod's log says it in one line."""
    done = stage("download", stage_environ({"dataset": {"sorce": {}}}))
    result, message, metadata = results(tmp_path, "download")
    sentence = 'spec.dataset has no field "sorce"; did you mean "source"?'
    assert done.returncode == ExitCode.BAD_CONFIG
    assert done.stderr == f"InvalidSpec: {sentence}\n"
    assert result == message
    assert (result["message"], metadata["status"], metadata["reason"]) == (sentence, "failed", "InvalidSpec")
    assert "Traceback" not in (folder(tmp_path) / "stderr.log").read_text()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ("", "is not set"),
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"runId": "a"}', "lacks uid"),
        ('{"runId": "A", "uid": "u", "name": "n"}', 'runId "A" must be lower-case'),
    ],
)
def test_unreadable_request_leaves_a_termination_message(
    tmp_path: Path, stage_environ: StageEnviron, request_: str, sentence: str
):
    """There is no run folder yet to say it in."""
    done = stage("download", {**stage_environ(), ENV_REQUEST: request_})
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, message["exitCode"], message["reason"]) == (10, 10, "InvalidSpec")
    assert sentence in message["message"]
    assert not (tmp_path / "data").exists()


def test_folder_of_another_run_is_not_changed(tmp_path: Path, stage_environ: StageEnviron):
    """Two resources may have chosen the same run id."""
    stage("download", stage_environ(SMALL, uid="first"))
    before = (folder(tmp_path) / "RUN_METADATA.json").read_bytes()
    done = stage("download", stage_environ(SMALL, uid="second"))
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, message["reason"]) == (10, "RunFolderTaken")
    assert (
        'belongs to the run "demo" in namespace "here" with uid first, not to this run with uid second. '
        "Choose another spec.runId" in message["message"]
    )
    assert (folder(tmp_path) / "RUN_METADATA.json").read_bytes() == before


def test_training_without_a_dataset_names_the_download_stage(tmp_path: Path, stage_environ: StageEnviron):
    """It never downloads on its own: it has no network."""
    done = stage("qrun", stage_environ(SMALL))
    assert done.returncode == ExitCode.BAD_DATA
    assert "Run the download stage first" in str(results(tmp_path, "qrun")[0]["message"])


def test_data_changed_after_verification_is_not_used(tmp_path: Path, stage_environ: StageEnviron):
    """What the fingerprint says must be what qrun reads."""
    stage("download", stage_environ(SMALL))
    [bin_file] = (tmp_path / "data/qlib/qlib_data").glob("us_data_1d@*/features/syn001/close.day.bin")
    bin_file.write_bytes(bin_file.read_bytes()[:-4])
    done = stage("qrun", stage_environ(SMALL))
    assert (done.returncode, results(tmp_path, "qrun")[0]["reason"]) == (11, "DatasetInvalid")


def hold_lock(tmp_path: Path) -> int:
    """Take the dataset's lock, so that a build waits."""
    home = tmp_path / "data/qlib/qlib_data"
    home.mkdir(parents=True)
    descriptor = os.open(home / ".us_data_1d.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_sigterm_ends_a_stage_with_143_and_a_result(tmp_path: Path, stage_environ: StageEnviron):
    """The folder records the interruption."""
    descriptor = hold_lock(tmp_path)
    with start("download", stage_environ(SMALL)) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    os.close(descriptor)
    result, message, metadata = results(tmp_path, "download")
    assert process.returncode == ExitCode.INTERRUPTED
    assert result == message
    assert (result["reason"], metadata["status"]) == ("Interrupted", "interrupted")
    assert not list((tmp_path / "work").iterdir())


def test_sigterm_ends_a_stage_whose_child_ignores_it(tmp_path: Path, stage_environ: StageEnviron):
    """The child is killed after the grace period, and the result is the same."""
    descriptor = hold_lock(tmp_path)
    with start("download", stage_environ(SMALL)) as process:
        child = step_of(process.pid)
        freeze(child)
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=300)
        finally:
            process.kill()
    os.close(descriptor)
    result, message, metadata = results(tmp_path, "download")
    assert (process.returncode, Path(f"/proc/{child}").exists()) == (ExitCode.INTERRUPTED, False)
    assert result == message
    assert (result["reason"], metadata["status"]) == ("Interrupted", "interrupted")
    assert not list((tmp_path / "work").iterdir())


def test_killed_child_is_reported_as_out_of_memory(tmp_path: Path, stage_environ: StageEnviron):
    """As on cgroup version 1, where the child dies and not the container."""
    descriptor = hold_lock(tmp_path)
    with start("download", stage_environ(SMALL)) as process:
        os.kill(step_of(process.pid), signal.SIGKILL)
        process.communicate()
    os.close(descriptor)
    result = results(tmp_path, "download")[0]
    assert (process.returncode, result["reason"], result["exitCode"]) == (137, "OutOfMemory", 137)


def test_unwritable_volume_error_names_the_user_id(tmp_path: Path, stage_environ: StageEnviron):
    """The administrator can act on it."""
    (tmp_path / "file").write_text("")
    done = stage("download", {**stage_environ(SMALL), ENV_DATA: "/sys/kernel/qlib-shadow"})
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, message["reason"]) == (10, "VolumeNotWritable")
    assert f"cannot be written by {os.getuid()}:{os.getgid()} (UID:GID)" in message["message"]


def test_volume_that_is_mounted_read_only_is_not_blamed_on_its_owner(
    small_volume: Path, tmp_path: Path, stage_environ: StageEnviron
):
    """A chown would be refused as well."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=True)
    done = stage("download", {**stage_environ(SMALL), ENV_DATA: str(small_volume)})
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, message["reason"]) == (10, "VolumeNotWritable")
    assert "is on a file system that is mounted read-only. Mount the volume for writing" in message["message"]
    assert "chown" not in message["message"]


TEMPLATE = read_template("lightgbm-alpha158")
MINE: dict[str, object] = {"configMapRef": {"name": "mine"}}
WRONG_WORKFLOWS: dict[str, tuple[dict[str, object], tuple[str, str] | None, str]] = {
    "a built-in template's name": (
        {"template": "lightgm-alpha158"},
        None,
        'spec.workflow.template "lightgm-alpha158" is unknown; did you mean "lightgbm-alpha158"?',
    ),
    "a parameter": (MINE, ("model.max_bin", "model.maxbin"), "model.maxbin"),
    "a field without effect": (
        {**MINE, "model": {"max_bin": 63}},
        ("{{ model.max_bin }}", "255"),
        "spec.workflow.model.max_bin has no effect",
    ),
    "a class": (MINE, ("module_path: qlib_shadow_runner.plugins.lightgbm", "module_path: os"), "os"),
}


@pytest.mark.parametrize(
    ("workflow", "change", "sentence"), WRONG_WORKFLOWS.values(), ids=WRONG_WORKFLOWS.keys()
)
def test_workflow_that_no_dataset_can_make_right_ends_before_the_download(
    tmp_path: Path,
    stage_environ: StageEnviron,
    workflow: dict[str, object],
    change: tuple[str, str] | None,
    sentence: str,
):
    """A download may take an hour."""
    own = {} if change is None else {ENV_TEMPLATE: TEMPLATE.replace(*change)}
    done = stage("download", stage_environ({**SMALL, "workflow": workflow}) | own)
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert done.returncode == ExitCode.BAD_CONFIG
    assert message["reason"] == (Reason.TEMPLATE_NOT_FOUND if change is None else Reason.INVALID_WORKFLOW)
    assert sentence in message["message"]
    assert not (tmp_path / "data/qlib").exists()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, Reason.OUT_OF_DISK),
        (errno.EDQUOT, Reason.OUT_OF_DISK),
        (errno.EACCES, Reason.VOLUME_NOT_WRITABLE),
        (errno.EROFS, Reason.VOLUME_NOT_WRITABLE),
        (errno.EIO, Reason.INTERNAL_ERROR),
    ],
)
def test_filesystem_errors_have_reasons(number: int, reason: Reason):
    """Where the remedy is the user's."""
    error = from_os_error(OSError(number, os.strerror(number), "/data/x"))
    assert error.reason is reason
    assert "/data/x" in error.message
    assert volume_not_writable("/data").exit_code == ExitCode.BAD_CONFIG


def test_download_ends_before_the_deadline_of_its_stage(tmp_path: Path, stage_environ: StageEnviron):
    """The spec's own deadline counts without a cluster, too; nothing answers at this address."""
    spec = {
        "dataset": {"source": {"qlib": {"url": "https://192.0.2.1"}}},
        "stages": {"download": {"activeDeadlineSeconds": 1}},
    }
    done = stage("download", stage_environ(spec))
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, message["reason"]) == (ExitCode.BAD_CONFIG, Reason.DOWNLOAD_REFUSED)
    assert "not done after 0.9 seconds, the longest that a download may take here" in message["message"]
    assert "raise spec.stages.download.activeDeadlineSeconds" in message["message"]
