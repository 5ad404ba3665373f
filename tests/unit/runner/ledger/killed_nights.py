"""Kill nights of a book and record them again: `python -m tests.unit.runner.ledger.killed_nights KILLS SEED`.

A process of its own without threads, so that each night is a fork, which takes a millisecond. The clock of a
night stands still: the book that was killed and recorded again has the bytes of the one that was not.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.unit.runner.ledger.small_market import BOOK, SmallMarket, files_of, weekdays

from qlib_shadow_runner import crash_points
from qlib_shadow_runner.crash_points import ENV_FAULT, LedgerPoint
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger import sessions
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.sessions import Sessions

POINTS: Final = tuple(LedgerPoint)
LINES_MAX: Final = 2500
"""Lines of the ledger and of storage that a night executes, at least."""
PARTS: Final = (f"{os.sep}ledger{os.sep}", f"{os.sep}storage{os.sep}")
Prepare = Callable[[], None]


def main(kills: int, seed: int) -> None:
    """Kill so many nights; the first book that is not as it should be ends with an AssertionError."""
    sessions._sessions = _weekdays
    chance = random.Random(seed)
    fast = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=fast) as name:
        home = Path(name)
        nights = _Nights(home, chance)
        while nights.killed < kills:
            nights.one()
    print(f"{nights.killed} kills: {nights.by_point}, {nights.lines} at a line")


def _weekdays(code: str) -> Sessions:
    """Return the sessions of an exchange without holidays: the real ones load pandas, which slows forks."""
    days = tuple(weekdays(60, date(2026, 2, 2)))
    opens = [datetime.combine(day, time(14, 30), UTC) for day in days]
    return Sessions(code, days, opens, [one + timedelta(hours=6.5) for one in opens])


class _Nights:
    """Books of nights with some of them missed, each of which is killed some times."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home, self.chance = home, chance
        self.killed = self.lines = 0
        self.by_point = dict.fromkeys(POINTS, 0)
        self.market = SmallMarket(home)
        for day in self.market.days:
            self.market.dataset(day)

    def one(self) -> None:
        """Record some nights undisturbed, and again with kills; both books are the same."""
        days = sorted(self.chance.sample(self.market.days, self.chance.randint(2, 5)))
        ledgers = Path(tempfile.mkdtemp(dir=self.home))
        wanted, book = ledgers / "undisturbed" / BOOK, ledgers / "killed" / BOOK
        for day in days:
            self.market.record(wanted, day)
            for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
                self._kill(book, day)
                _holds(book)
            assert _ended(book, lambda day=day: self.market.record(book, day)) == 0
        assert files_of(book) == files_of(wanted), days
        assert verify_book(book, self.market.dataset(days[-1])) == []
        assert [path.name for path in book.rglob(".*")] == [], "drafts were left"
        shutil.rmtree(ledgers)

    def _kill(self, book: Path, day: Any) -> None:
        if self.chance.random() < 0.7:
            point = self.chance.choice(POINTS)
            at = _at_point(point, self.chance.randint(1, 4))
        else:
            point, at = None, _at_line(self.chance.randint(1, LINES_MAX))

        def record() -> None:
            at()
            self.market.record(book, day)

        if _ended(book, record) == -signal.SIGKILL:
            self.killed += 1
            if point is None:
                self.lines += 1
            else:
                self.by_point[point] += 1


def _holds(book: Path) -> None:
    """Check that what is left of a book is a chain, or nothing."""
    try:
        Chain.read(book)
    except FileNotFoundError:
        assert files_of(book) == {}


def _at_point(point: LedgerPoint, times: int) -> Prepare:
    """Kill the process when it reaches a point for the nth time."""

    def prepare() -> None:
        left = [times]

        def count(_name: str) -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        os.environ[ENV_FAULT] = point
        crash_points.ACTIONS[""] = count  # type: ignore[index]

    return prepare


def _at_line(number: int) -> Prepare:
    """Kill the process before the nth line of the ledger and of storage that it executes."""

    def prepare() -> None:
        left = [number]

        def line(frame: FrameType, event: str, _argument: object) -> Any:
            if not any(part in frame.f_code.co_filename for part in PARTS):
                return None
            if event == "line":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return line

        sys.settrace(line)

    return prepare


def _ended(book: Path, work: Callable[[], object]) -> int:
    """Return how a fork that does some work ends: 0, or the negative number of a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the parent is to see it, and no test to go on in the child
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
