"""Keys that wait to be looked at: each at most once in the line and at most once at work.

The idea is client-go's workqueue. Belongs to one event loop; time and chance are passed in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST: Final = 0.5
BACKOFF_MAX: Final = 40.0
"""With chance on top a minute: so soon is noticed that a quota has room again."""
JITTER: Final = 0.5
"""The share of a delay that chance may add, so that a thousand failures do not come back together."""


class Handle(Protocol):
    """A timer that can be stopped."""

    def cancel(self) -> None:
        """Stop it."""


class WorkQueue(Generic[K]):
    """Adding a key that waits does nothing; adding one that is at work brings it back afterwards."""

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], Handle],
        random_fraction: Callable[[], float],
        clock: Callable[[], float],
        queue_waited: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._call_later = call_later
        self._waited = queue_waited
        self._random_fraction = random_fraction
        self._clock = clock
        self._queue: deque[K] = deque()
        self._waiting_since: dict[K, float] = {}
        self._in_progress: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, tuple[float, Handle]] = {}
        self._key_added = asyncio.Event()

    def add(self, key: K) -> None:
        """Ask for a look at a key."""
        if key in self._waiting_since:
            return
        self._waiting_since[key] = self._clock()
        if key not in self._in_progress:
            self._queue.append(key)
            self._key_added.set()

    def add_after(self, key: K, delay: float) -> None:
        """Ask for a look in a while; of several whiles the shortest counts."""
        due = self._clock() + max(delay, 0)
        known = self._timers.get(key)
        if known and known[0] <= due:
            return
        if known:
            known[1].cancel()
        self._timers[key] = (due, self._call_later(max(delay, 0), lambda: self._add_when_due(key)))

    def _add_when_due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    async def get(self) -> K:
        """Take the next key to work; `done` must follow."""
        while not self._queue:
            self._key_added.clear()
            await self._key_added.wait()
        key = self._queue.popleft()
        self._waited(self._clock() - self._waiting_since.pop(key))
        self._in_progress.add(key)
        return key

    def done(self, key: K) -> None:
        """Give a key back; if it was asked for meanwhile, it stands in line again."""
        self._in_progress.discard(key)
        if key in self._waiting_since:
            self._queue.append(key)
            self._key_added.set()

    def retry(self, key: K) -> float:
        """Ask again after a failure, each time later; say how much later."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(BACKOFF_FIRST * 2 ** min(failures, 20), BACKOFF_MAX) * (
            1 + JITTER * self._random_fraction()
        )
        self.add_after(key, delay)
        return delay

    def reset_failures(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    @property
    def oldest_wait(self) -> float:
        """Seconds that the longest-waiting key has been asking for a look."""
        since = self._waiting_since.copy()  # asked for by other threads, too
        return self._clock() - min(since.values()) if since else 0.0

    def __len__(self) -> int:
        return len(self._waiting_since)
