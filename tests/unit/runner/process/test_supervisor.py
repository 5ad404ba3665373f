"""A child is told to stop, killed if it does not, and its end is given a reason."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.supervisor import GRACE_SECONDS, Supervisor, fail_child
from qlib_shadow_runner.training.failure import last_error, training_error

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [sys.executable, "-c"]


def test_a_childs_code_is_given_back(tmp_path: Path):
    """Without interpretation."""
    assert Supervisor().run([*PYTHON, "raise SystemExit(7)"], environ={}, cwd=str(tmp_path)) == 7


def test_a_step_reports_its_findings_or_its_reason(tmp_path: Path):
    """The typed reason survives the process boundary."""
    spec: dict[str, object] = {"dataset": {"source": {"existing": {}}}}
    arguments = {"canonical": str(tmp_path / "none"), "mount": str(tmp_path)}
    environ = {ENV_REQUEST: json.dumps({"spec": spec})}
    with pytest.raises(StageError, match="there is no dataset at") as caught:
        Supervisor().step("dataset", arguments, environ=environ, cwd=str(tmp_path))
    assert caught.value.reason is Reason.DATASET_MISSING


@pytest.mark.parametrize("code", [-9, 137], ids=["a killed child", "a shell's word for it"])
def test_a_killed_child_ran_out_of_memory(code: int):
    """Nobody else sends SIGKILL."""
    with pytest.raises(StageError, match=r"was killed \(SIGKILL\)") as caught:
        fail_child("it", code)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert caught.value.exit_code == 137


SCRIPT = """
    import sys
    from qlib_shadow_runner.errors import StageError
    from qlib_shadow_runner.process import supervisor
    supervisor.GRACE_SECONDS = 1
    supervisor = supervisor.Supervisor()
    supervisor.listen()
    child = {child!r}
    try:
        supervisor.run([sys.executable, "-c", child], environ={{}}, cwd=".")
    except StageError as error:
        print(error.reason)
        sys.exit(error.exit_code)
"""
HEEDS = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
WITH_CHILD = (
    "import subprocess, time; subprocess.Popen(['sleep', '600']); print('ready', flush=True); time.sleep(600)"
)


@pytest.mark.parametrize(
    "child", [HEEDS, STUBBORN, WITH_CHILD], ids=["heeds", "is stubborn", "has a child of its own"]
)
def test_sigterm_ends_the_child_and_is_told(child: str):
    """Promptly, with 143; nothing is left that would hold the output open."""
    script = textwrap.dedent(SCRIPT).format(child=child)
    with subprocess.Popen([*PYTHON, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "Interrupted\n"
    assert process.returncode == 143


def test_a_stage_that_is_over_while_its_child_starts_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other thread did not know of it yet, so that it is looked at again once it is known."""
    supervisor, children = Supervisor(), list[subprocess.Popen[bytes]]()
    start = subprocess.Popen

    def start_and_lose(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(start(*arguments, **options))
        supervisor.end(StageError(Reason.SUPERSEDED, "another attempt is at work"))
        return children[0]

    monkeypatch.setattr(subprocess, "Popen", start_and_lose)
    with pytest.raises(StageError, match="another attempt is at work"):
        supervisor.run([*PYTHON, "import time; time.sleep(20)"], environ={}, cwd=str(tmp_path))
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def test_a_child_may_end_while_it_is_being_killed(monkeypatch: pytest.MonkeyPatch):
    """By another thread, which has looked at it once."""
    child = subprocess.Popen([*PYTHON, ""])
    looks, told = iter([child, None]), list[tuple[int, int]]()
    child.wait()
    supervisor = Supervisor()
    monkeypatch.setattr(Supervisor, "_child", property(lambda _: next(looks)), raising=False)
    monkeypatch.setattr("os.killpg", lambda *sent: told.append(sent))
    supervisor.end(StageError(Reason.SUPERSEDED, "another attempt is at work"))
    assert told == [(child.pid, signal.SIGKILL)]


def test_the_grace_is_shorter_than_the_kubelets():
    """The result must be written before the pod is killed."""
    assert GRACE_SECONDS < 30


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
def test_the_line_that_matters_is_found(tail: str, line: str):
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
def test_how_training_ended_has_a_reason(code: int, tail: str, reason: Reason):
    """The remedy depends on it."""
    assert training_error(code, tail).reason is reason
