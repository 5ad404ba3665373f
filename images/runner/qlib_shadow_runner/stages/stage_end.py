"""The end of a stage: its result is delivered once, by the stage, or for one that cannot stop by itself."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.supervisor import interrupted
from qlib_shadow_runner.runs.result import make_result, now
from qlib_shadow_runner.stages.result_delivery import deliver_result
from qlib_shadow_runner.storage.files import WRITING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_runner.contract import Result, Stage
    from qlib_shadow_runner.runs.request import StageInput

RECORD_SECONDS: Final = 5.0
"""How long the volume may take to record the end of a stage that the volume itself may have stopped."""


@dataclass
class StageEnd:
    """What is known of a stage so far, for a result that another thread has to deliver."""

    stage: Stage
    environ: Mapping[str, str]
    started_at: str = field(default_factory=now)
    stage_input: StageInput | None = None
    record: Callable[[Result], None] | None = None
    """Writes a result to the run folder, once there is one."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _delivered: Result | None = None

    def deliver(self, result: Result) -> int:
        """Deliver a result unless one was delivered before; return the exit code of the one that was."""
        with self._lock:
            if self._delivered is None:
                self._delivered = result
                deliver_result(result, self.environ)
            return self._delivered["exitCode"]

    def end_overdue(self) -> None:
        """End this process, whatever its main thread waits for, after delivering that it was interrupted."""
        identity = self.stage_input.identity if self.stage_input else None
        result = make_result(self.stage, identity, interrupted(), started_at=self.started_at)
        code = self.deliver(result)
        if self._delivered is result and self.record is not None:
            recorder = threading.Thread(target=self._record, args=(result,), daemon=True)
            recorder.start()
            recorder.join(RECORD_SECONDS)
        os._exit(code)

    def _record(self, result: Result) -> None:
        """Record the result, after a write that the main thread has begun; it begins no other."""
        assert self.record is not None, "the caller has looked"
        with WRITING, contextlib.suppress(OSError, StageError):  # the volume may be what does not answer
            self.record(result)
            os._exit(result["exitCode"])
