"""What is said of a book: from a sound chain, and from one that anything may have been done to."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from tests.bench.promise.books import books as kept_promises
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.ledger.sample_book import FIRST, SampleBook, write_book

from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.bands import FEWEST, OF_PROMISE
from qlib_shadow_runner.ledger.overview import State, books, overview
from qlib_shadow_runner.ledger.record import record_of
from qlib_shadow_runner.ledger.weeks import weeks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NIGHTS = 12
NOW = datetime(2026, 11, 18, 6, tzinfo=UTC)


@pytest.fixture
def book(tmp_path: Path) -> SampleBook:
    """Return a book of 2026-11-02 to 11-17: held on the 6th, late on the 10th, missed on the 12th."""
    return write_book(tmp_path, nights=NIGHTS, held=(4,), late=(6,), missed=(8,))


def documents(book: SampleBook, kind: str) -> list[Any]:
    """Return the documents of one kind, by day."""
    found = [json.loads(path.read_bytes()) for path in sorted((book.folder / "chain").iterdir())]
    return [one for one in found if one["kind"] == kind]


def test_a_sound_book_says_where_it_is(book: SampleBook):
    """Days, account and head are those of the last files."""
    found = overview(book.folder)
    last, fills = documents(book, "decision")[-1], documents(book, "fills")[-1]
    assert (found.book, found.namespace, found.state) == ("us-shadow", "research", State.DECIDED)
    assert (found.decided, found.reconciled, found.run) == ("2026-11-17", "2026-11-17", "us-20261117")
    assert (found.nav, found.cash) == (last["account"]["nav"], last["account"]["cash"])
    assert (found.pnl, found.day_return) == (fills["pnl"], fills["dayReturn"])
    assert found.nav == pytest.approx((found.cash or 0) + (found.gross or 0))
    assert (found.capital, found.names, found.orders) == (100_000.0, 2, len(last["orders"]))
    assert found.costs == pytest.approx(sum(one["costs"] for one in documents(book, "fills")))
    newest = book.folder / "chain" / "000022.json"
    assert found.head == hashlib.sha256(newest.read_bytes()).hexdigest()
    assert found.entries == len(documents(book, "decision")) + len(documents(book, "fills"))


def test_nights_that_went_otherwise_are_named(book: SampleBook):
    """Late and missed days, and the closed gates of the last decision with their sentences."""
    found = overview(book.folder)
    assert (found.late_days, found.missed_days) == (("2026-11-10",), ("2026-11-12",))
    assert found.decisions["2026-11-06"] == "Held"
    held = write_book(book.folder.parent, "held", 3, held=(2,))
    found = overview(held.folder)
    assert [gate.name for gate in found.closed] == ["liveIc"]
    assert (found.state, found.sentence) == (State.HELD, "positions stay: the live IC has decayed")


def test_only_days_after_a_decision_in_time_are_part_of_the_record(book: SampleBook):
    """Neither one after a late decision nor after a missed night; all figures are over the same days."""
    found = overview(book.folder)
    without = ("2026-11-11", "2026-11-13")  # after the late decision, and after the missed night
    counted = [one for one in documents(book, "fills") if one["day"] not in without]
    returns = [one["dayReturn"] for one in counted]
    record = found.record
    assert (record.days, record.benchmark_days) == (9, 9)
    assert record.total == pytest.approx(math.prod(1 + one for one in returns) - 1)
    assert record.benchmark == pytest.approx(1.001**9 - 1)
    last = record.promise[-1]
    assert last.day == "2026-11-17"
    assert last.account == pytest.approx(sum(returns))
    assert last.expected == pytest.approx(0.0004 * 9)
    deviation = 0.009 * math.sqrt(9 + 9**2 / 750)
    assert last.high - last.expected == pytest.approx(OF_PROMISE * deviation)
    assert record.is_beyond is None


@pytest.mark.parametrize(
    ("days", "deviation", "is_beyond"), [(19, 1e-6, None), (20, 1e-6, True), (20, 0.0, None)]
)
def test_an_account_beyond_the_band_says_so(
    tmp_path: Path, days: int, deviation: float, *, is_beyond: bool | None
):
    """Not of few days, nor of a backtest that never traded."""
    book = SampleBook(tmp_path / "us-shadow").begin()
    promise = {"mean": 0.0, "deviation": deviation, "days": 750}
    for day in weekdays(days + 1, FIRST):
        if book.number:
            book.fill(day)
        book.decide(day, promise=promise)
    assert overview(book.folder).record.is_beyond is is_beyond


def test_books_that_keep_their_promise_are_rarely_called_beyond_it(book: SampleBook):
    """A sample of `make calibrate-promise`: asked every night for a year."""
    found = kept_promises(np.random.default_rng(1), 200, 250, moves=False, nights=250)
    day = replace(overview(book.folder).days[0], promised_days=found.days)
    rings = 0
    for returns, means, deviations in zip(found.returns, found.mean, found.deviation, strict=True):
        days = [
            replace(day, day_return=each, promised=mean, deviation=deviation)
            for each, mean, deviation in zip(returns, means, deviations, strict=True)
        ]
        nights = record_of(days).promise[FEWEST - 1 :]
        rings += any(not one.low <= one.account <= one.high for one in nights)
    assert rings <= 0.05 * len(found.returns)


def test_without_benchmark_and_promise_nothing_is_claimed(tmp_path: Path):
    """A figure that is not known is None, not 0."""
    book = SampleBook(tmp_path / "us-shadow").begin()
    for day in weekdays(3, FIRST):
        if book.number:
            book.fill(day, benchmark=None)
        book.decide(day, promise={"mean": None, "deviation": None, "days": 0})
    record = overview(book.folder).record
    assert (record.benchmark, record.excess, record.is_beyond) == (None, None, None)


def test_a_book_that_has_just_begun_holds_its_capital(tmp_path: Path):
    """Nothing is decided, and no figure is made up."""
    SampleBook(tmp_path / "us-shadow").begin()
    found = overview(tmp_path / "us-shadow")
    assert (found.state, found.nav, found.pnl, found.decided) == (State.NEW, 100_000.0, None, None)
    assert found.sentence == "nothing is decided yet"
    json.dumps(found.document(), allow_nan=False)


@pytest.mark.parametrize(
    ("content", "state", "why"),
    [
        ('{"state": "HALTED", "why": "a strike", "at": "2026-11-17T20:00:00Z"}', State.HALTED, "a strike"),
        ('{"state": "REDUCING", "why": "a strike", "at": null}', State.REDUCING, "a strike"),
        ("", State.HALTED, "HALT"),
        ('{"state": "OFF"}', State.HALTED, "HALT"),
    ],
)
def test_a_kill_switch_is_said_first(book: SampleBook, content: str, state: State, why: str):
    """Whatever was decided last; a file of another content halts as well."""
    (book.folder / "HALT").write_text(content)
    found = overview(book.folder)
    assert (found.state, found.decision) == (state, "Decided")
    assert why in found.sentence
    assert found.halt is not None


def test_a_reset_is_told_beside_the_drawdown_since_the_start(tmp_path: Path):
    """No other resume resets it; the halt stays in the history."""
    book = write_book(tmp_path, nights=7)
    navs = [100_000.0, *(one["account"]["nav"] for one in documents(book, "fills"))]
    before = overview(book.folder)
    assert before.drawdown == pytest.approx(1 - navs[-1] / max(navs))
    assert navs[-1] < max(navs)
    halts.halt(book.folder, "too deep", reducing=False, now=NOW)
    halts.resume(book.folder, "looked at", NOW)
    assert overview(book.folder).reset_day is None
    halts.resume(book.folder, "forgiven", NOW + timedelta(hours=1), reset_drawdown=True)
    after = overview(book.folder)
    assert (after.drawdown, after.peak) == (before.drawdown, max(navs))
    assert (after.drawdown_since_reset, after.reset_day) == (0.0, after.reconciled)
    assert [(one["why"], one["resumedWhy"]) for one in after.halts] == [
        ("", "forgiven"),
        ("too deep", "looked at"),
    ]


HALT: Final = {"gate": "halt", "verdict": "closed", "sentence": "the book is HALTED: a strike"}
DECAY: Final = {"gate": "liveIc", "verdict": "closed", "sentence": "the live IC has decayed"}


@pytest.mark.parametrize(
    ("decision", "verdict", "said"),
    [
        ("Held", "closed", "held by a halt that was lifted since; decides again on the next night"),
        ("Reducing", "reduce", "only sales by a halt that was lifted since; decides again on the next night"),
    ],
)
def test_a_halt_that_was_lifted_is_no_need_any_more(tmp_path: Path, decision: str, verdict: str, said: str):
    """While it is on it is said; another closed gate still holds the book when it is lifted."""
    halt = {**HALT, "verdict": verdict, "figure": "HALTED", "limit": "none"}
    decay = {**DECAY, "figure": "decayed", "limit": "holds"}
    for name, gates in (("alone", [halt]), ("both", [halt, decay])):
        SampleBook(tmp_path / name, name).begin().decide(FIRST, decision, gates=gates)
    alone = overview(tmp_path / "alone")
    assert (alone.state, alone.is_lifted, alone.sentence) == (State(decision), True, said)
    both = overview(tmp_path / "both")
    assert (both.is_lifted, "the live IC has decayed" in both.sentence) == (False, True)
    assert "the book is HALTED" not in both.sentence
    halts.halt(tmp_path / "alone", "a strike", reducing=False, now=NOW)
    assert not overview(tmp_path / "alone").is_lifted


def test_a_late_decision_is_the_state_of_the_book(tmp_path: Path):
    """Its orders are never filled, however the gates were; a day that was held has none."""
    late = overview(write_book(tmp_path, "late", 3, late=(2,)).folder)
    assert (late.state, late.decision, late.late) == (State.LATE, "Decided", True)
    assert late.sentence == f"{late.orders} orders recorded too late, so that none is ever filled"
    held = overview(write_book(tmp_path, "held", 3, late=(2,), held=(2,)).folder)
    assert (held.state, held.sentence) == (
        State.HELD,
        "positions stay: the live IC has decayed; recorded too late",
    )


def changed(book: Path) -> None:
    """Change one number of an entry."""
    path = book / "chain" / "000005.json"
    path.write_text(path.read_text().replace('"late": false', '"late": true'))


def cut(book: Path) -> None:
    """Leave half of an entry."""
    path = book / "chain" / "000004.json"
    path.write_bytes(path.read_bytes()[:200])


def with_nan(book: Path) -> None:
    """Forge the last entry: nothing follows that would show it, but NaN is no number."""
    path = book / "chain" / "000022.json"
    path.write_text(path.read_text().replace('"number": 22', '"number": NaN'))


def with_other_types(book: Path) -> None:
    """Forge the last entry: a text where a list should be."""
    path = book / "chain" / "000022.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"gates": "all open"}))


def deep(book: Path) -> None:
    """Nest brackets in an entry."""
    (book / "chain" / "000022.json").write_text('{"schema": ' + "[" * 9_999)


def as_fifo(book: Path) -> None:
    """Put a FIFO in place of an entry, on which a reader would wait."""
    path = book / "chain" / "000007.json"
    path.unlink()
    os.mkfifo(path)


def as_link(book: Path) -> None:
    """Put a link to another file in place of an entry."""
    path = book / "chain" / "000007.json"
    path.rename(book / "moved")
    path.symlink_to(book / "moved")


DAMAGES: list[Callable[[Path], object]] = [
    *(changed, cut, with_nan, with_other_types, deep, as_fifo, as_link),
    lambda book: (book / "chain" / "000007.json").unlink(),
    lambda book: (book / "BOOK.json").unlink(),
    lambda book: (book / "BOOK.json").write_text("[]"),
    lambda book: (book / "BOOK.json").write_bytes(b"\xff\xfe"),
    lambda book: (book / "chain").rename(book / "gone"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_a_damaged_book_says_so_and_spoils_no_list(book: SampleBook, damage: Callable[[Path], object]):
    """It is still listed, with a sentence, and the book beside it is as it was."""
    other = write_book(book.folder.parent, "other", 2)
    damage(book.folder)
    found = overview(book.folder)
    assert (found.book, found.state) == ("us-shadow", State.DAMAGED)
    assert len(found.sentence) > 20
    assert found.nav is None
    json.dumps(found.document(), allow_nan=False)
    assert books(book.folder.parent) == ["other", "us-shadow"]
    assert overview(other.folder).state is State.DECIDED


def test_only_books_are_listed(tmp_path: Path):
    """Neither other folders and files, nor links, nor names that no book has."""
    write_book(tmp_path, "one", 1)
    write_book(tmp_path, "Two_2", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path / "one")
    assert books(tmp_path) == ["one"]
    assert books(tmp_path / "nowhere") == []


def test_weeks_sum_what_the_days_say(book: SampleBook):
    """From Monday to Sunday, the newest first."""
    newest, middle, first, empty = weeks_of(overview(book.folder), 4)
    assert [f"{one.monday}" for one in (newest, middle, first, empty)] == [
        *("2026-11-16", "2026-11-09", "2026-11-02", "2026-10-26"),
    ]
    assert (middle.decided, middle.held, middle.late, middle.missed) == (4, 0, 1, 1)
    assert (first.held, empty.days, empty.total) == (1, 0, None)
    pnl = sum(one["pnl"] for one in documents(book, "fills"))
    assert newest.pnl + middle.pnl + first.pnl == pytest.approx(pnl)
