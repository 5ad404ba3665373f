"""The children of a stage: started in a process group of their own, ended with it, and never left behind.

The children of a closed stage start without a network, and one that tries to reach it ends the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.guard.watch import Watch
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.process.limits import more_memory
from qlib_shadow_runner.process.stop_deadline import STOP, StopDeadline
from qlib_shadow_runner.storage.files import read_json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from qlib_shadow_runner.contract import Stage


PR_SET_CHILD_SUBREAPER: Final = 36


def become_subreaper() -> None:
    """Become the parent of every descendant whose parent ends, as process 1 of a container is anyway."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, *map(ctypes.c_ulong, (1, 0, 0, 0)))


def end_descendants() -> None:
    """Kill and reap all children, until no descendant is left to become one."""
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    found: list[int] = []
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, listed.read_text().split())
    return found


GRACE_SECONDS: Final = 5
"""How long a child may take to end after SIGTERM; the kubelet gives the whole pod 30."""


class Supervisor:
    """Runs one child at a time and knows whether the stage was asked to stop."""

    def __init__(self, stage: Stage, *, closed: bool = False) -> None:
        self._stage = stage
        self.interrupted = False
        self.layers: Sequence[str] = ()
        """What closes the network to the children of a closed stage."""
        self._closed = closed
        self._reaping = False
        self._fatal: StageError | None = None
        self._deadline: StopDeadline | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT, and become the parent of orphaned descendants."""
        for number in STOP:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        become_subreaper()
        self._reaping = True

    def end_overdue(self, end: Callable[[], None]) -> None:
        """Have a thread end the process by this function where the stage was told to stop and does not."""
        stop = functools.partial(self._stop, signal.SIGTERM, None)
        self._deadline = StopDeadline(stop, self._ended_by(end))
        self._deadline.start()

    def _ended_by(self, end: Callable[[], None]) -> Callable[[], None]:
        def end_all() -> None:
            self._send(signal.SIGKILL)
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            end()

        return end_all

    def run(self, command: Sequence[str], *, environ: Mapping[str, str], cwd: str) -> int:
        """Return the exit code of a child that ran to its end; raise when the stage was asked to stop."""
        self.check()
        code = self._run_closed(command, environ, cwd) if self._closed else self._run(command, environ, cwd)
        self.check()
        return code

    def _run_closed(self, command: Sequence[str], environ: Mapping[str, str], cwd: str) -> int:
        with Watch(Path(cwd), self._print_layers, lambda: self._send(signal.SIGKILL)) as watch:
            code = self._run(watch.wrapped(command), environ, cwd, watch)
        if watch.attempt is not None:
            self._fatal = watch.attempt.error()
        return code

    def _run(
        self, command: Sequence[str], environ: Mapping[str, str], cwd: str, watch: Watch | None = None
    ) -> int:
        child = self._child = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=watch.inherited if watch else (),
        )
        if watch:
            watch.started()
        if self._fatal is not None:  # set between the check and the assignment
            self._send(signal.SIGKILL)
        if self.interrupted:  # as well
            self._stop(signal.SIGTERM, None)
        try:
            return child.wait()
        finally:
            signal.alarm(0)
            self._send(signal.SIGKILL)
            self._child = None
            if self._reaping:
                end_descendants()

    def step(
        self, name: str, arguments: object, *, environ: Mapping[str, str], cwd: str
    ) -> dict[str, object]:
        """Return what one of our own steps reports, run in a child because it needs memory or libraries."""
        with tempfile.TemporaryDirectory(dir=cwd, prefix=f"{name}-") as scratch:
            report = Path(scratch, "report.json")
            command = [
                sys.executable,
                "-P",
                "-m",
                "qlib_shadow_runner.stages.steps",
                name,
                json.dumps(arguments),
                str(report),
            ]
            code = self.run(command, environ=environ, cwd=cwd)
            content = read_json_object(report)
        if content is not None and "reason" in content:
            raise StageError(Reason(str(content["reason"])), str(content["message"]))
        if code == -signal.SIGABRT:
            raise StageError(
                Reason.OUT_OF_MEMORY,
                f"the step {name} was ended by one of its libraries (SIGABRT), as they do when memory runs "
                f"out; stderr.log holds the details. {more_memory(self._stage)}",
            )
        if code != 0 or content is None:
            fail_child(f"the step {name}", code, self._stage)
        return content

    def end(self, error: StageError) -> None:
        """Kill the child and fail the stage with this error; called from another thread."""
        self._fatal = self._fatal or error
        self._send(signal.SIGKILL)

    def check(self) -> None:
        """Raise if the stage was asked to stop or must not go on."""
        if self._fatal is not None:
            raise self._fatal
        if self.interrupted:
            raise interrupted()

    def _print_layers(self, layers: Sequence[str]) -> None:
        if layers != self.layers:
            print_line(f"network closed by {', '.join(layers)}")
        self.layers = layers

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        del number
        self.interrupted = True
        if self._deadline is not None:
            self._deadline.asked = True
        if self._child is not None:
            self._send(signal.SIGTERM)
            signal.alarm(GRACE_SECONDS)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        child = self._child  # read once, since another thread may set it to None
        if child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)


def interrupted() -> StageError:
    """Return the error of a stage that was told to stop."""
    return StageError(
        Reason.INTERRUPTED,
        "the stage was told to stop (SIGTERM) before it was done. "
        "Another attempt of this run goes on from there.",
    )


def fail_child(what: str, code: int, stage: Stage) -> NoReturn:
    """Raise the error of a child that ended without one of its own."""
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        raise out_of_memory(what, stage)
    raise StageError(Reason.INTERNAL_ERROR, f"{what} ended with code {code}; stderr.log holds the details.")


def out_of_memory(what: str, stage: Stage) -> StageError:
    """Return the error for a SIGKILL that the supervisor did not send."""
    return StageError(
        Reason.OUT_OF_MEMORY,
        f"{what} was killed (SIGKILL), as the kernel does when memory runs out. {more_memory(stage)}",
    )
