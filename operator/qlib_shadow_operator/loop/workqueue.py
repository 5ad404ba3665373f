"""A queue of keys to reconcile, each queued at most once and in progress at most once.

It follows client-go's workqueue. It belongs to one event loop; clock and random numbers are passed in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST: Final = 0.5
BACKOFF_MAX: Final = 40.0
"""With jitter one minute: this is how soon a retry notices that a quota has room again."""
JITTER: Final = 0.5
"""The maximum random share of a delay, so that a thousand failures do not retry together."""


class Handle(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Cancel it."""


class WorkQueue(Generic[K]):
    """Adding a queued key does nothing; adding a key in progress queues it again when it is done."""

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
        """Enqueue a key."""
        if key in self._waiting_since:
            return
        self._waiting_since[key] = self._clock()
        if key not in self._in_progress:
            self._queue.append(key)
            self._key_added.set()

    def add_after(self, key: K, delay: float) -> None:
        """Enqueue a key after a delay; of several delays the shortest counts."""
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
        """Return the next key; the caller must call `done` afterwards."""
        while not self._queue:
            self._key_added.clear()
            await self._key_added.wait()
        key = self._queue.popleft()
        self._waited(self._clock() - self._waiting_since.pop(key))
        self._in_progress.add(key)
        return key

    def done(self, key: K) -> None:
        """Mark a key as done; queue it again if it was added meanwhile."""
        self._in_progress.discard(key)
        if key in self._waiting_since:
            self._queue.append(key)
            self._key_added.set()

    def retry(self, key: K) -> float:
        """Enqueue a key again after a failure, with exponential backoff; return the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(BACKOFF_FIRST * 2 ** min(failures, 20), BACKOFF_MAX) * (
            1 + JITTER * self._random_fraction()
        )
        self.add_after(key, delay)
        return delay

    def reset_failures(self, key: K) -> None:
        """Reset the backoff of a key."""
        self._failures.pop(key, None)

    @property
    def oldest_wait(self) -> float:
        """The seconds that the oldest key has waited."""
        since = self._waiting_since.copy()  # a copy, because other threads read this, too
        return self._clock() - min(since.values()) if since else 0.0

    def __len__(self) -> int:
        return len(self._waiting_since)
