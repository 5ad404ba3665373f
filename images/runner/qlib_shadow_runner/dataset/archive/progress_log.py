"""Log the progress of a long copy with one line every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL: Final = 10.0
"""Seconds between two lines; a download of an hour logs 360."""


@dataclass
class ProgressLog:
    """The progress of a copy whose total size may be unknown."""

    what: str
    total: int | None
    begun_at: int = 0
    clock: Callable[[], float] = time.monotonic
    log: Callable[[str], None] = print_line
    _started: float = field(init=False)
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()
        self._next = self._started + INTERVAL

    def at(self, done: int) -> None:
        """Log the progress if the last line is old enough."""
        now = self.clock()
        if now < self._next:
            return
        self._next = now + INTERVAL
        speed = (done - self.begun_at) / (now - self._started)
        self.log(f"{self.what}: {self._share(done)}, {format_size(speed)}/s{self._left(done, speed)}")

    def _share(self, done: int) -> str:
        if not self.total:
            return format_size(done)
        return f"{format_size(done)} of {format_size(self.total)} ({done / self.total:.0%})"

    def _left(self, done: int, speed: float) -> str:
        if not self.total or speed <= 0:
            return ""
        seconds = int((self.total - done) / speed)
        return f", {seconds // 60}:{seconds % 60:02} left"
