"""How long a stage may take on this machine: as long as in a cluster, where the stage's Job ends it.

A stage that is past its deadline is told to stop, finishes what it writes, and can be continued. One that
hangs and does not stop is killed with all its children.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli import amounts
from qlib_shadow_runner.contract import ExitCode, Stage
from qlib_shadow_runner.contract.deadlines import (
    DEADLINE_EXCEEDED,
    DEFAULT_SECONDS,
    more_time,
    past_deadline,
)
from qlib_shadow_runner.process.supervisor import become_subreaper, end_descendants
from qlib_shadow_runner.runs.listing import STATUS_INTERRUPTED
from qlib_shadow_runner.runs.result import now
from qlib_shadow_runner.texts import ended

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.runs.folder import RunFolder
    from qlib_shadow_runner.spec import RunSpec

OPTION: Final = "--deadline"
GRACE_SECONDS: Final = 30.0
"""How long a stage may take to stop: as long as the kubelet gives a pod."""


def deadlines(spec: RunSpec, asked: str | None) -> Mapping[Stage, Deadline]:
    """Return the deadline of each stage: the one that was asked for with the command, else the spec's."""
    if asked is not None:
        seconds = amounts.duration(asked, OPTION)
        return {stage: Deadline(stage, seconds, f"Give {OPTION} more, or none") for stage in Stage}
    found = {
        stage: spec.stages.of(stage).active_deadline_seconds or DEFAULT_SECONDS[stage] for stage in Stage
    }
    return {stage: Deadline(stage, seconds, more_time(stage)) for stage, seconds in found.items()}


class Deadline:
    """The deadline of one stage, and whether it has ended the stage."""

    def __init__(self, stage: Stage, seconds: int | None, remedy: str) -> None:
        self.stage, self.seconds, self.remedy = stage, seconds, remedy
        self.passed = False

    @contextlib.contextmanager
    def ends(self, child: subprocess.Popen[str]) -> Iterator[None]:
        """Stop the stage when its time is over, and kill it when it does not stop."""
        if self.seconds is None:
            yield
            return
        become_subreaper()  # so that the children of a killed stage can be found
        over = threading.Event()

        def watch() -> None:
            if over.wait(self.seconds):
                return
            self.passed = True
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            if not over.wait(GRACE_SECONDS):
                end_descendants()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()

    def result(self, found: Mapping[str, object]) -> dict[str, object]:
        """Return the result of a stage that was ended."""
        assert self.seconds is not None, "it has passed"
        message = f"{past_deadline(self.stage, self.seconds)}. {ended(self.remedy)}"
        return {
            **found,
            "reason": DEADLINE_EXCEEDED,
            "message": message,
            "exitCode": int(ExitCode.INTERRUPTED),
        }

    def record(self, folder: RunFolder, result: Mapping[str, object]) -> None:
        """Write into the run folder why the stage was ended: an interrupted run, which may continue."""
        metadata = folder.metadata
        stages = metadata.get("stages")
        if not isinstance(stages, dict):  # it was killed before it wrote any
            return
        why = {"reason": result["reason"], "exit_code": result["exitCode"], "finished_at_utc": now()}
        record = {**(stages.get(str(self.stage)) or {}), **why}
        folder.update_metadata(
            status=STATUS_INTERRUPTED,
            reason=result["reason"],
            finished_at_utc=why["finished_at_utc"],
            stages={**stages, str(self.stage): record},
        )
