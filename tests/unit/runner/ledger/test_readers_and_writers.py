"""Readers hold no lock, and a lock can be lost: neither ever shows damage, or makes any."""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import LedgerPoint
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import book as writing
from qlib_shadow_runner.ledger import chain as reading
from qlib_shadow_runner.ledger import night as nights
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.storage.untrusted import names_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runner.ledger.small_market import SmallMarket

PATIENCE = 30.0


@pytest.fixture
def begun(market: SmallMarket, book: Path) -> Path:
    """Return a book of two nights."""
    for day in market.days[:2]:
        market.record(book, day)
    return book


@pytest.mark.parametrize(("called", "time"), [("names_in", 1), ("read_file", 1), ("read_file", 4)])
def test_a_night_that_is_written_while_a_book_is_read_is_no_damage(
    market: SmallMarket, begun: Path, monkeypatch: pytest.MonkeyPatch, called: str, time: int
):
    """Between any two files or listings of the reader."""
    real, left = getattr(reading, called), [time]

    def then_a_night(*arguments: Any) -> Any:
        found = real(*arguments)
        left[0] -= 1
        if left[0] == 0:
            market.record(begun, market.days[2])
        return found

    monkeypatch.setattr(reading, called, then_a_night)
    assert len(Chain.read(begun).entries) == 3
    monkeypatch.undo()
    assert len(Chain.read(begun).entries) == 5


def test_a_book_that_begins_while_it_is_read_is_no_damage(
    market: SmallMarket, book: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its folder was not there when the reader listed it, and BOOK.json is when the reader looks."""
    real = names_in

    def then_a_night(*arguments: Any) -> Any:
        monkeypatch.undo()
        with contextlib.suppress(FileNotFoundError):
            return real(*arguments)
        market.record(book, market.days[0])
        raise FileNotFoundError

    monkeypatch.setattr(reading, "names_in", then_a_night)
    assert len(Chain.read(book).entries) == 1


@pytest.mark.parametrize("listings", [1, 2])
def test_a_listing_that_lacks_an_entry_is_believed_when_the_next_one_does_too(
    begun: Path, monkeypatch: pytest.MonkeyPatch, listings: int
):
    """A folder to which files come while it is listed may show a later one alone."""
    real, left = names_in, [listings]

    def torn(*arguments: Any) -> Any:
        left[0] -= 1
        return [one for one in real(*arguments) if left[0] < 0 or not one.startswith("000002")]

    monkeypatch.setattr(reading, "names_in", torn)
    if listings == 1:
        assert len(Chain.read(begun).entries) == 3
    else:
        with pytest.raises(StageError, match=r"chain/000002\.json is missing, and chain/000003") as caught:
            Chain.read(begun)
        assert caught.value.reason is Reason.LEDGER_DAMAGED


class Paused:
    """Two writers of one book, both of which believe that they hold its lock.

    The first stops between a draft and its link until the other has come as far as it is to come.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.after = {"first": after, "second": 1}
        self.reached = {name: threading.Event() for name in self.after}
        self.goes_on = {name: threading.Event() for name in self.after}
        monkeypatch.setattr(nights, "locked_book", lambda _folder: nullcontext(lambda: None))
        monkeypatch.setattr(writing, "WRITING", nullcontext())
        monkeypatch.setattr(writing, "fault_point", self.point)
        self.ended: dict[str, object] = {}

    def point(self, point: LedgerPoint) -> None:
        """Stop a writer at its draft."""
        name = threading.current_thread().name
        if point is not LedgerPoint.DRAFTED or name not in self.after:
            return
        self.after[name] -= 1
        if self.after[name] == 0:
            self.reached[name].set()
            assert self.goes_on[name].wait(PATIENCE)

    def start(self, name: str, record: Callable[[], Any]) -> threading.Thread:
        """Start a writer, and return once it has stopped."""

        def work() -> None:
            try:
                self.ended[name] = record().new
            except StageError as error:
                self.ended[name] = error.reason

        thread = threading.Thread(target=work, name=name)
        thread.start()
        assert self.reached[name].wait(PATIENCE)
        return thread


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize(
    "days", [{"first": 2, "second": 2}, {"first": 2, "second": 3}, {"first": 3, "second": 2}]
)
def test_of_two_writers_that_lost_the_lock_one_goes_on_and_the_other_is_tried_again(
    market: SmallMarket, begun: Path, order: tuple[str, str], after: int, days: dict[str, int]
):
    """Both are between a draft and its link: whichever links first, no head has two successors."""

    def recorded(name: str) -> Callable[[], Any]:
        return lambda: market.record(begun, market.days[days[name]], run={"runId": name})

    with pytest.MonkeyPatch.context() as patch:
        paused = Paused(patch, after)
        threads = {name: paused.start(name, recorded(name)) for name in days}
        for name in order:
            paused.goes_on[name].set()
            threads[name].join(PATIENCE)
    wins, loses = order
    assert paused.ended == {wins: True, loses: Reason.LEDGER_LOCKED}
    assert verify_book(begun, market.dataset(market.days[3])) == []
    assert recorded(loses)().new is (days[loses] > days[wins])
    assert verify_book(begun, market.dataset(market.days[3])) == []
    assert market.record(begun, market.days[4]).new


def test_a_night_that_was_killed_before_its_names_were_on_the_disk_brings_them_there_when_it_comes_again(
    market: SmallMarket, begun: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its head goes into the resource, which a power cut must not prove wrong."""

    class Killed(BaseException):
        """A process that has ended here."""

    left = [2]

    def killed(point: LedgerPoint) -> None:
        left[0] -= point is LedgerPoint.LINKED
        if not left[0]:
            raise Killed

    monkeypatch.setattr(writing, "fault_point", killed)
    with pytest.raises(Killed):
        market.record(begun, market.days[2])
    monkeypatch.undo()
    real, synced = os.fsync, set()

    def seen(descriptor: int) -> None:
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    again = market.record(begun, market.days[2])
    assert (again.new, again.head) == (False, Chain.read(begun).head)
    assert {begun / "chain", begun, begun.parent} <= synced
