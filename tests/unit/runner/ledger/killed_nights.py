"""Kill nights of a book and record them again: `python -m tests.unit.runner.ledger.killed_nights KILLS SEED`.

With `race` in place of the seed, so many nights are recorded by two processes at once; with `read`, so many
books are read again and again while another process writes them.

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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.unit.runner.ledger.small_market import BOOK, SmallMarket, files_of, weekdays

from qlib_shadow_runner import crash_points
from qlib_shadow_runner.crash_points import ENV_FAULT, LedgerPoint
from qlib_shadow_runner.ledger import sessions
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.entries import BOOK_FILE
from qlib_shadow_runner.ledger.sessions import Sessions

if TYPE_CHECKING:
    from types import FrameType

POINTS: Final = tuple(LedgerPoint)
OF_FILES: Final = (LedgerPoint.DRAFTED, LedgerPoint.LINKED, LedgerPoint.SYNCED)
"""A night passes these with each file."""
LINES_MAX: Final = 2500
"""Lines of the ledger and of storage that a night executes, at least."""
PARTS: Final = (f"{os.sep}ledger{os.sep}", f"{os.sep}storage{os.sep}")
Prepare = Callable[[], None]


def main(count: int, seed: str) -> None:
    """Kill so many nights; the first book that is not as it should be ends with an AssertionError."""
    sessions._sessions = _weekdays  # type: ignore[assignment]
    chance = random.Random(seed)
    fast = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=fast) as name:
        home = Path(name)
        nights = _Nights(home, chance)
        work, done = {"race": (nights.race, "races"), "read": (nights.read, "read_books")}.get(
            seed, (nights.one, "killed")
        )
        while getattr(nights, done) < count:
            work()
    kills = ", ".join(f"{point} {number}" for point, number in nights.by_point.items())
    sys.stdout.write(
        f"{nights.killed} kills: {kills}, at a line {nights.lines}; {nights.races} races; "
        f"{nights.read_books} books read {nights.reads} times\n"
    )


def _weekdays(code: str) -> Sessions:
    """Return the sessions of an exchange without holidays: the real ones load pandas, which slows forks."""
    days = tuple(weekdays(60, date(2026, 2, 2)))
    opens = [datetime.combine(day, time(14, 30), UTC) for day in days]
    return Sessions(code, days, opens, [one + timedelta(hours=6.5) for one in opens])


class _Nights:
    """Books of nights with some of them missed, each of which is killed some times."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home, self.chance = home, chance
        self.killed = self.lines = self.races = self.read_books = self.reads = 0
        self.by_point = dict.fromkeys(POINTS, 0)
        self.market = SmallMarket(home)
        for day in self.market.days:
            self.market.dataset(day)

    def one(self) -> None:
        """Record some nights undisturbed, and again with kills; both books are the same."""
        days = sorted(self.chance.sample(self.market.days, self.chance.randint(2, 4)))
        ledgers = Path(tempfile.mkdtemp(dir=self.home))
        wanted, book = ledgers / "undisturbed" / BOOK, ledgers / "killed" / BOOK
        for day in days:
            self.market.record(wanted, day)
            for _ in range(self.chance.choice((1, 1, 2, 3))):
                self._kill(book, day)
                _holds(book)
            assert _ended(partial(self.market.record, book, day)) == 0
        assert files_of(book) == files_of(wanted), days
        assert verify_book(book, self.market.dataset(days[-1])) == []
        assert [path.name for path in book.rglob(".*")] == [], "drafts were left"
        shutil.rmtree(ledgers)

    def race(self) -> None:
        """Let two runs record one day at once, a book that has not begun among them: one does."""
        book = Path(tempfile.mkdtemp(dir=self.home)) / "ledgers" / BOOK
        for day in self.market.days[:3]:
            reading, writing = os.pipe()
            children = [_forked(partial(self._raced, book, day, who, writing)) for who in ("a", "b")]
            assert [_how_ended(child) for child in children] == [0, 0]
            said = sorted(os.read(reading, 4096).decode().splitlines())
            first = self.market.record(book, day)
            assert first.decision is not None
            winner = first.decision["run"]["runId"]
            loser = {"a": "b", "b": "a"}[winner]
            assert said == sorted([f"{winner} True", f"{loser} False"]), said
            os.close(reading)
            os.close(writing)
        assert len(Chain.read(book).decisions) == 3
        self.races += 1

    def read(self) -> None:
        """Read a book while another process writes its nights: it is always a chain, which only grows."""
        book = Path(tempfile.mkdtemp(dir=self.home)) / "ledgers" / BOOK
        child, before, seen = _forked(partial(self._written, book)), 0, set()
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            now = len(Chain.read(book).entries) if (book / BOOK_FILE).exists() else 0
            assert now >= before
            before = now
            seen.add(now)
            self.reads += 1
        assert _how_ended(child) == 0
        assert len(Chain.read(book).entries) == 2 * len(self.market.days) - 1
        assert len(seen) > 1, "no read was beside a write"
        self.read_books += 1

    def _written(self, book: Path) -> None:
        for day in self.market.days:
            self.market.record(book, day)

    def _raced(self, book: Path, day: date, who: str, writing: int) -> None:
        done = self.market.record(book, day, run={"runId": who})
        assert done.new or "recorded already" in done.sentence
        os.write(writing, f"{who} {done.new}\n".encode())

    def _kill(self, book: Path, day: Any) -> None:
        if self.chance.random() < 0.7:
            point = self.chance.choice(POINTS)
            at = _at_point(point, self.chance.randint(1, 2) if point in OF_FILES else 1)
        else:
            point, at = None, _at_line(self.chance.randint(1, LINES_MAX))

        def record() -> None:
            at()
            self.market.record(book, day)

        if _ended(record) == -signal.SIGKILL:
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


def _ended(work: Callable[[], object]) -> int:
    """Return how a fork that does some work ends: 0, or the negative number of a signal."""
    return _how_ended(_forked(work))


def _forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the parent is to see it, and no test to go on in the child
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


def _how_ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
