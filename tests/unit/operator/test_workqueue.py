"""The queue: a key is in line once, at work once, and later after each failure. No clock is waited for."""

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
    """Time that a test moves."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def call_later(self, delay: float, ring: Callable[[], None]) -> Timer:
        """Remember a ring."""
        timer = Timer(self.now + delay, ring)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything ring that is due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.ring()

    def read(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Begin at zero."""
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    """Make a queue without chance."""
    return WorkQueue(clock.call_later, lambda: 0.0, clock.read)


def take(queue: WorkQueue[str]) -> str:
    """Take the next key, which must be there."""
    return asyncio.run(asyncio.wait_for(queue.get(), 1))


def test_a_key_stands_in_line_once(queue: WorkQueue[str]):
    """A hundred events are one look."""
    for _ in range(100):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert [take(queue), take(queue)] == ["a", "b"]
    assert len(queue) == 0


def test_a_key_is_at_work_once(queue: WorkQueue[str]):
    """News during a look leads to another look after it, not beside it."""
    queue.add("a")
    take(queue)
    queue.add("a")
    queue.add("b")
    assert take(queue) == "b"
    queue.done("a")
    assert take(queue) == "a"


def test_nothing_comes_back_without_news(queue: WorkQueue[str]):
    """A look that is done is done."""
    queue.add("a")
    queue.done(take(queue))
    assert len(queue) == 0


def test_a_failure_comes_back_later_each_time(queue: WorkQueue[str]):
    """Twice as late, up to a bound."""
    delays = [queue.retry("a") for _ in range(12)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == BACKOFF_MAX
    queue.reset_failures("a")
    assert queue.retry("a") == 0.5


def test_a_minute_is_the_longest_delay():
    """However often a Job was refused: a quota that has room again is noticed."""
    assert BACKOFF_MAX * (1 + JITTER) == 60


def test_chance_spreads_failures(clock: Clock):
    """A thousand runs do not come back in the same moment."""
    lucky, unlucky = (WorkQueue[str](clock.call_later, lambda c=c: c, clock.read) for c in (0.0, 1.0))  # type: ignore[misc]
    assert unlucky.retry("a") == lucky.retry("a") * (1 + JITTER)


def test_of_several_times_the_nearest_counts(queue: WorkQueue[str], clock: Clock):
    """An earlier look includes a later one."""
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


def test_the_queue_knows_how_long_it_keeps_somebody_waiting(queue: WorkQueue[str], clock: Clock):
    """The health check asks."""
    assert queue.oldest_wait == 0
    queue.add("a")
    clock.advance(5)
    queue.add("b")
    clock.advance(5)
    assert queue.oldest_wait == 10
    take(queue)
    assert queue.oldest_wait == 5
