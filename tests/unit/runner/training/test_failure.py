"""A real qrun that fails: its output becomes a reason, and the reason decides about a retry."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from local_stages import RUNNER, LocalVolume
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.crash_points import ENV_FAULT, QrunPoint
from qlib_shadow_runner.training.failure import last_error, training_error

if TYPE_CHECKING:
    from collections.abc import Callable

    Workflow = dict[str, object]

PAGE = 4096
FULL_DISK = """
mkdir -p "$QLIB_SHADOW_DATA" && mount -t tmpfs -o size=900k tmpfs "$QLIB_SHADOW_DATA" || exit 99
"$@" download || exit 98
"$@" qrun
"""


@pytest.fixture
def volume(tmp_path: Path) -> LocalVolume:
    """Return a volume with the dataset on it."""
    volume = LocalVolume(tmp_path)
    assert volume.stage("download").returncode == 0
    return volume


def test_a_memory_error_in_qrun_is_out_of_memory(volume: LocalVolume):
    """Python's own MemoryError, in the middle of qrun: the remedy is the limit."""
    done = volume.stage("qrun", **{ENV_FAULT: f"{QrunPoint.MODEL_MADE} memory"})
    result = volume.result()
    assert (done.returncode, result["reason"]) == (ExitCode.OUT_OF_MEMORY, "OutOfMemory")
    assert result["message"].startswith(
        "qrun ran out of memory: MemoryError. Raise spec.stages.qrun.resources.limits.memory"
    )
    assert volume.running() == []


def test_a_full_volume_is_out_of_disk(tmp_path: Path):
    """A file system of 900 kB takes the dataset and not the run; the result still reaches the pod."""
    volume = LocalVolume(tmp_path)
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
    process = volume.start([*unshare, "sh", "-c", FULL_DISK, "sh", *RUNNER])
    output, errors = process.communicate()
    assert process.returncode == ExitCode.OUT_OF_DISK, output + errors
    message = (tmp_path / "termination-log").read_text()
    assert '"reason":"OutOfDisk"' in message
    assert re.search("no space (is )?left", message)


def fill(volume: Path, pages: int) -> Path:
    """Leave room for so many pages."""
    filler = volume / "filler"
    with filler.open("wb", buffering=0) as stream:
        with contextlib.suppress(OSError):
            while stream.write(bytes(PAGE)):
                pass
        stream.truncate(stream.tell() - pages * PAGE)
    return filler


def test_a_full_volume_names_the_file_and_a_retry_succeeds(tmp_path: Path, small_volume: Path):
    """Where not even the metadata can be written, they go on saying `running`, without a reason."""
    (tmp_path / "data").symlink_to(small_volume)
    volume = LocalVolume(tmp_path)
    assert volume.stage("download").returncode == 0
    for pages, file in ((0, ".attempt.json"), (1, "RUN_METADATA.json")):
        filler = fill(small_volume, pages)
        done = volume.stage("qrun")
        told = json.loads((tmp_path / "termination-log").read_bytes())
        assert (done.returncode, told["reason"]) == (ExitCode.OUT_OF_DISK, Reason.OUT_OF_DISK)
        assert told["message"].startswith(f"no space is left while writing {volume.folder() / file}. Free")
        assert (volume.metadata()["status"], volume.metadata()["reason"]) == ("running", None)
        filler.unlink()
    done = volume.stage("qrun")
    assert done.returncode == 0, done.stderr
    assert volume.faults() == []


def corrupt_model(workflow: Workflow) -> None:
    """Set a number of leaves that LightGBM refuses."""
    workflow["task"]["model"]["kwargs"]["num_leaves"] = 1  # type: ignore[index]


def corrupt_features(workflow: Workflow) -> None:
    """Give Alpha158 an argument that it does not take."""
    handler = workflow["task"]["dataset"]["kwargs"]["handler"]  # type: ignore[index]
    handler["kwargs"]["windows"] = 5


def corrupt_module(workflow: Workflow) -> None:
    """Name a module that is not there."""
    workflow["task"]["model"]["module_path"] = "qlib.contrib.model.nowhere"  # type: ignore[index]


IMPOSSIBLE: dict[str, tuple[Callable[[Workflow], None], str]] = {
    "a parameter out of range": (corrupt_model, "LightGBMError: Check failed: (num_leaves) > (1)"),
    "an unknown argument": (corrupt_features, "unexpected keyword argument 'windows'"),
    "an unknown module": (
        corrupt_module,
        "ModuleNotFoundError: No module named 'qlib.contrib.model.nowhere'",
    ),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the workflow of a run that dies as soon as it has it."""
    volume = LocalVolume(tmp_path_factory.mktemp("rendered"))
    volume.environ["OMP_NUM_THREADS"] = "1"
    assert volume.stage("download").returncode == 0
    volume.stage("qrun", **{ENV_FAULT: QrunPoint.MODEL_MADE})
    return (volume.folder() / "workflow.yaml").read_text()


@pytest.mark.parametrize(("corrupt", "sentence"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_workflow_that_cannot_work_is_not_retried(
    tmp_path: Path, rendered: str, corrupt: Callable[[Workflow], None], sentence: str
):
    """The template was allowed, and only Qlib finds that it cannot work."""
    workflow = yaml.safe_load(rendered)
    corrupt(workflow)
    (tmp_path / "workflow.yaml").write_text(yaml.safe_dump(workflow))
    code, errors = plain_qrun(tmp_path)
    failure = training_error(code, errors)
    assert (failure.reason, failure.exit_code) == (Reason.INVALID_WORKFLOW, ExitCode.BAD_CONFIG), errors
    assert sentence in failure.message


def plain_qrun(folder: Path) -> tuple[int, str]:
    """Run Qlib's own command on a workflow, as a user would."""
    environ = {
        **{name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "OPENBLAS_"))},
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, str(Path(sys.executable).with_name("qrun")), str(folder / "workflow.yaml")]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout[-4000:] + done.stderr[-12000:]


TAILS = {
    "a traceback": ("Traceback (most recent call last):\n  x\nValueError: no rows.\n", "ValueError: no rows"),
    "an error of a package": (
        "qlib.X\nlightgbm.basic.LightGBMError: bad\nand so on\n",
        "lightgbm.basic.LightGBMError: bad",
    ),
    "Qlib's own word": (
        "[1:M](t) ERROR - qlib - [utils.py:41] - An exception has been raised[KeyError: 'x'].\n  File y\n",
        "KeyError: 'x'",
    ),
    "a progress bar": ("loop: 1%\rloop: 2%\rOSError: gone\n", "OSError: gone"),
    "no error at all": ("one\ntwo.\n\n", "two"),
    "silence": ("", "it printed nothing"),
}


@pytest.mark.parametrize(("tail", "line"), TAILS.values(), ids=TAILS)
def test_the_line_of_the_last_exception_is_found(tail: str, line: str):
    """It goes into the message that the user reads."""
    assert last_error(tail) == line


@pytest.mark.parametrize(
    ("code", "tail", "reason"),
    [
        (1, "ValueError: x", Reason.TRAINING_FAILED),
        (-9, "", Reason.OUT_OF_MEMORY),
        (1, "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB", Reason.OUT_OF_MEMORY),
        (1, "OSError: [Errno 28] No space left on device: 'x'", Reason.OUT_OF_DISK),
    ],
)
def test_a_failed_training_has_a_reason(code: int, tail: str, reason: Reason):
    """The remedy depends on it."""
    assert training_error(code, tail).reason is reason
