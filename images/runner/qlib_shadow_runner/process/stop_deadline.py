"""End a stage that was told to stop and does not: a thread that waits beside whatever the stage waits for.

Python handles a signal in the main thread, between two steps. A main thread that waits for a lock, or for a
file server that does not answer, comes to no next step; while the kernel waits for the file server, not even
the signal is delivered to it. The kubelet kills after 30 seconds, and the reason of the end would be lost.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
SECONDS: Final = 10.0
"""How long a stage may take to end by itself: its child has five, and what follows takes less."""
LOOK_SECONDS: Final = 0.5
PIPE_BYTES: Final = 4096


@dataclass
class StopDeadline:
    """Waits for a signal that asks the stage to stop, and then for its end."""

    stop: Callable[[], None]
    """Asks the stage to stop; called where the main thread did not get the signal."""
    end: Callable[[], None]
    """Ends the process."""
    asked: bool = False
    """Whether the main thread got the signal."""

    def start(self) -> None:
        """Wait in a thread, for as long as the process lives; called in the main thread."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(reading,), name="stop-deadline", daemon=True).start()

    def _wait(self, reading: int) -> None:
        # Here alone the signals are blocked: the kernel prefers the main thread, and what it cannot deliver
        # there, this thread takes.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        while not (self._was_delivered(reading) or signal.sigtimedwait(STOP, 0)):
            pass
        time.sleep(LOOK_SECONDS)
        if not self.asked:  # the main thread, which handles what any thread gets, cannot
            self.stop()
        time.sleep(SECONDS)
        self.end()

    def _was_delivered(self, reading: int) -> bool:
        """Return within a moment whether any thread got a signal that asks the stage to stop."""
        if not select.select([reading], [], [], LOOK_SECONDS)[0]:
            return self.asked
        return not STOP.isdisjoint(os.read(reading, PIPE_BYTES))
