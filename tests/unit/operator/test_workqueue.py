"""The queue: a key is queued once, in progress once, and retried with backoff. No test waits for a clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.unit.operator.model.process import Timer

from qlib_shadow_operator.loop.workqueue import BACKOFF_MAX, JITTER, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def call_later(self, delay: float, ring: Callable[[], None]) -> Timer:
        """Record a timer."""
        timer = Timer(self.now + delay, ring)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Advance the time, and fire every timer that is due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.ring()

    def read(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock at zero."""
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    """Return a queue without jitter."""
    return WorkQueue(clock.call_later, lambda: 0.0, clock.read)


def take(queue: WorkQueue[str]) -> str:
    """Return the next key, which must be queued."""
    return asyncio.run(asyncio.wait_for(queue.get(), 1))


def test_key_is_queued_once(queue: WorkQueue[str]):
    """A hundred events cause one pass."""
    for _ in range(100):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert [take(queue), take(queue)] == ["a", "b"]
    assert len(queue) == 0


def test_key_is_in_progress_once(queue: WorkQueue[str]):
    """An event during a pass causes another pass after it, not beside it."""
    queue.add("a")
    take(queue)
    queue.add("a")
    queue.add("b")
    assert take(queue) == "b"
    queue.done("a")
    assert take(queue) == "a"


def test_done_key_is_not_queued_again(queue: WorkQueue[str]):
    """A finished pass is not repeated."""
    queue.add("a")
    queue.done(take(queue))
    assert len(queue) == 0


def test_backoff_doubles_after_each_failure(queue: WorkQueue[str]):
    """The delay doubles, up to a maximum."""
    delays = [queue.retry("a") for _ in range(12)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == BACKOFF_MAX
    queue.reset_failures("a")
    assert queue.retry("a") == 0.5


def test_a_minute_is_the_longest_delay():
    """A quota that has room again is noticed within a minute."""
    assert BACKOFF_MAX * (1 + JITTER) == 60


def test_jitter_spreads_retries(clock: Clock):
    """A thousand runs are not retried in the same moment."""
    lucky, unlucky = (WorkQueue[str](clock.call_later, lambda c=c: c, clock.read) for c in (0.0, 1.0))  # type: ignore[misc]
    assert unlucky.retry("a") == lucky.retry("a") * (1 + JITTER)


def test_shortest_of_several_delays_counts(queue: WorkQueue[str], clock: Clock):
    """An earlier pass includes a later one."""
    queue.add_after("a", 60)
    queue.add_after("a", 10)
    queue.add_after("a", 30)
    clock.advance(9)
    assert len(queue) == 0
    clock.advance(1)
    assert take(queue) == "a"
    queue.done("a")
    clock.advance(100)
    assert len(queue) == 0


def test_queue_knows_its_oldest_wait(queue: WorkQueue[str], clock: Clock):
    """The health check reads it."""
    assert queue.oldest_wait == 0
    queue.add("a")
    clock.advance(5)
    queue.add("b")
    clock.advance(5)
    assert queue.oldest_wait == 10
    take(queue)
    assert queue.oldest_wait == 5
