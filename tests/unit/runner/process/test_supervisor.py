"""A child is asked to stop, killed if it does not, and its end has a reason."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST, Reason, Stage
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.supervisor import GRACE_SECONDS, Supervisor, fail_child

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [sys.executable, "-c"]


def test_the_exit_code_of_a_child_is_returned(tmp_path: Path):
    """Without interpretation."""
    assert (
        Supervisor(Stage.DOWNLOAD).run([*PYTHON, "raise SystemExit(7)"], environ={}, cwd=str(tmp_path)) == 7
    )


def test_the_reason_of_a_failed_step_is_raised(tmp_path: Path):
    """The typed reason survives the process boundary."""
    spec: dict[str, object] = {"dataset": {"source": {"existing": {}}}}
    arguments = {"canonical": str(tmp_path / "none"), "mount": str(tmp_path)}
    environ = {ENV_REQUEST: json.dumps({"spec": spec})}
    with pytest.raises(StageError, match="there is no dataset at") as caught:
        Supervisor(Stage.DOWNLOAD).step("dataset", arguments, environ=environ, cwd=str(tmp_path))
    assert caught.value.reason is Reason.DATASET_MISSING


@pytest.mark.parametrize("code", [-9, 137], ids=["a killed child", "a shell's code for it"])
def test_a_killed_child_means_out_of_memory(code: int):
    """The kernel sends SIGKILL when memory runs out."""
    with pytest.raises(StageError, match=r"was killed \(SIGKILL\)") as caught:
        fail_child("it", code, Stage.QRUN)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert caught.value.exit_code == 137
    assert caught.value.message.endswith(
        "Raise spec.stages.qrun.resources.limits.memory, or research fewer instruments or years."
    )


SCRIPT = """
    import sys
    from qlib_shadow_runner.contract import Stage
    from qlib_shadow_runner.errors import StageError
    from qlib_shadow_runner.process import supervisor
    supervisor.GRACE_SECONDS = 1
    supervisor = supervisor.Supervisor(Stage.DOWNLOAD)
    supervisor.listen()
    child = {child!r}
    try:
        supervisor.run([sys.executable, "-c", child], environ={{}}, cwd=".")
    except StageError as error:
        print(error.reason)
        sys.exit(error.exit_code)
"""
ENDS = "import time; print('ready', flush=True); time.sleep(600)"
IGNORES = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
WITH_CHILD = (
    "import subprocess, time; subprocess.Popen(['sleep', '600']); print('ready', flush=True); time.sleep(600)"
)


@pytest.mark.parametrize(
    "child", [ENDS, IGNORES, WITH_CHILD], ids=["ends", "ignores it", "has a child of its own"]
)
def test_sigterm_ends_the_child_and_the_stage_is_interrupted(child: str):
    """Promptly, with 143; nothing is left that would hold the output open."""
    script = textwrap.dedent(SCRIPT).format(child=child)
    with subprocess.Popen([*PYTHON, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "Interrupted\n"
    assert process.returncode == 143


def test_a_stage_that_ends_while_its_child_starts_kills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other thread did not know the child yet, so the child is checked again once it is known."""
    supervisor, children = Supervisor(Stage.DOWNLOAD), list[subprocess.Popen[bytes]]()
    start = subprocess.Popen

    def start_and_lose(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(start(*arguments, **options))
        supervisor.end(StageError(Reason.SUPERSEDED, "another attempt is at work"))
        return children[0]

    monkeypatch.setattr(subprocess, "Popen", start_and_lose)
    with pytest.raises(StageError, match="another attempt is at work"):
        supervisor.run([*PYTHON, "import time; time.sleep(20)"], environ={}, cwd=str(tmp_path))
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def test_a_child_may_end_while_it_is_killed(monkeypatch: pytest.MonkeyPatch):
    """By another thread, which reads it once."""
    child = subprocess.Popen([*PYTHON, ""])
    looks, told = iter([child, None]), list[tuple[int, int]]()
    child.wait()
    supervisor = Supervisor(Stage.DOWNLOAD)
    monkeypatch.setattr(Supervisor, "_child", property(lambda _: next(looks)), raising=False)
    monkeypatch.setattr("os.killpg", lambda *sent: told.append(sent))
    supervisor.end(StageError(Reason.SUPERSEDED, "another attempt is at work"))
    assert told == [(child.pid, signal.SIGKILL)]


def test_the_grace_period_is_shorter_than_that_of_the_kubelet():
    """The result must be written before the pod is killed."""
    assert GRACE_SECONDS < 30
