"""How long a download may take, and how slow it may be.

A socket's timeout only limits the wait for the next byte: a server that sends one byte a minute, or headers
without an end, never meets it. So each read is compared with three limits: the end of the whole download, the
time and size of an answer's headers, and the least bytes in a minute.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import ENV_DEADLINE_SECONDS
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

DEFAULT_SECONDS: Final = 4 * 3600
"""The time of a stage to which nothing else is said, as on a laptop."""
SHARE: Final = 0.9
"""The share of the stage's time for the download; unpacking and verifying need the rest."""
MOST_HEADERS: Final = 1 << 20
REMEDY: Final = "raise spec.stages.download.activeDeadlineSeconds"


class SlowServerError(TimeoutError):
    """A server that sends, but too slowly."""


class EndlessHeadersError(HTTPException):
    """An answer whose headers do not end."""


def download_seconds(environ: Mapping[str, str]) -> float:
    """Return how long a download may take, from the time that the whole stage has."""
    given = environ.get(ENV_DEADLINE_SECONDS) or str(DEFAULT_SECONDS)
    if not given.isascii() or not given.isdigit() or len(given) > len(str(1 << 31)) or not int(given):
        refuse(f'{ENV_DEADLINE_SECONDS} is "{given}"; it must be a whole number of seconds, such as 3600')
    return SHARE * int(given)


@dataclass
class TimeLimit:
    """The limits of one download, over all its requests."""

    seconds: float
    """For the whole download."""
    head_seconds: float = 120.0
    """For the headers of one answer."""
    window: float = 60.0
    slowest: int = 1024
    """The least bytes in each second of a window, on average."""
    _begun: float = field(default_factory=time.monotonic)
    _head_begun: float | None = None
    _head_size: int = 0
    _window_begun: float = 0.0
    _window_size: int = 0

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self._begun + self.seconds - time.monotonic())

    @property
    def least(self) -> int:
        """Return the bytes that a request must bring to count as progress."""
        return int(self.slowest * self.window)

    def begin_head(self) -> None:
        """Begin to limit the headers of an answer."""
        self._head_begun, self._head_size = time.monotonic(), 0

    def begin_body(self) -> None:
        """Begin to limit the rate, after the headers."""
        self._head_begun = None
        self._window_begun, self._window_size = time.monotonic(), 0

    def before_read(self) -> None:
        """Raise where the time is over."""
        head_over = self._head_begun is not None and time.monotonic() > self._head_begun + self.head_seconds
        if head_over or not self.left:
            raise TimeoutError

    def received(self, size: int) -> None:
        """Count bytes; raise where they are too many for headers, or too few for their time."""
        if self._head_begun is not None:
            self._head_size += size
            if self._head_size > MOST_HEADERS:
                raise EndlessHeadersError
            return
        self._window_size += size
        seconds = time.monotonic() - self._window_begun
        if seconds >= self.window:
            if self._window_size < self.slowest * seconds:
                raise SlowServerError
            self._window_begun, self._window_size = time.monotonic(), 0


class _LimitedRead(io.RawIOBase):
    """A connection's bytes, within the limits."""

    def __init__(self, raw: io.RawIOBase, limit: TimeLimit) -> None:
        self._raw = raw
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._limit.before_read()
        size = self._raw.readinto(buffer)
        self._limit.received(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class LimitedResponse(HTTPResponse):
    """An answer, of the server or of a proxy, that is read within the limits."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        limit: TimeLimit,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_LimitedRead(self.fp.detach(), limit))
        limit.begin_head()
