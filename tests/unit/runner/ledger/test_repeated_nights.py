"""A night that comes again, or on data that has lost a day: what stays, and what is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.small_market import GOOD, RULES, SmallMarket, files_of

from qlib_shadow_runner.ledger import night as nights
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.rules import Targets
from qlib_shadow_runner.stages.ledger_step import ledger_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.ledger.rules import Rules


def killed(*_arguments: object, **_named: object) -> None:
    """End a night here."""
    raise ArithmeticError


def evening(day: date) -> Callable[[], datetime]:
    """Return a clock that stands at ten in the evening of a day."""
    return lambda: datetime.combine(day, datetime.min.time().replace(hour=22), UTC)


def test_the_same_night_again_is_recorded_already_and_changes_no_byte(market: SmallMarket, book: Path):
    """Another run with the same signals is the same night."""
    first = market.record(book, market.days[0])
    before = files_of(book)
    again = market.record(book, market.days[0], run={"runId": "another"})
    assert (again.new, again.head) == (False, first.head)
    assert {**again.decision, "scores": first.decision["scores"]} == first.decision
    assert f"recorded already, by run us-{market.days[0]}" in again.sentence
    assert again.notes == ()
    assert files_of(book) == before


def test_other_signals_for_a_recorded_day_do_not_replace_it_and_it_is_said(market: SmallMarket, book: Path):
    """Whatever the signals of a day are later, the first that were recorded count."""
    market.record(book, market.days[0])
    before = files_of(book)
    again = market.record(book, market.days[0], run={"runId": "b", "signalsSha256": "1" * 64})
    assert not again.new
    assert "other signals" in again.notes[0]
    assert files_of(book) == before


def test_a_feed_that_has_stopped_is_said_each_night_and_changes_no_record(market: SmallMarket, book: Path):
    """It brings the day that is decided already, so that its age closes the gate of the result alone."""
    day = market.days[0]  # a Monday: four sessions may close after it
    market.record(book, day)
    before = files_of(book)
    for weekday, is_old in ((6, False), (9, True)):
        night = market.night(book, day, clock=evening(date(2026, 3, weekday)))
        again = record_night(night, market.dataset(day))
        result = ledger_result(night, again, {})
        assert (again.new, result["recorded"], result["decision"]) == (False, "already", "Decided")
        assert again.closed_since == (("dataAge",) if is_old else ())
        assert result.get("closedGates") == ("dataAge" if is_old else None)
        assert ("dataAge: 5 sessions have closed" in again.sentence) is is_old
        assert [note for note in again.notes if "5 sessions have closed since the last day" in note] == (
            [again.notes[0]] if is_old else []
        )
    assert files_of(book) == before


def test_an_old_day_before_the_last_decision_is_old_as_well(market: SmallMarket, book: Path):
    """An archive that went back brings such days."""
    late = evening(date(2026, 6, 1))
    for number in (0, 2):
        market.record(book, market.days[number])
    again = market.record(book, market.days[0], clock=late)
    assert again.closed_since == ("dataAge",)
    behind = market.record(book, market.days[1], clock=late)
    assert behind.decision is None
    assert "the data of this run is old: 6" in behind.notes[0]


@pytest.mark.parametrize("held", [True, False])
def test_a_gate_that_held_the_day_already_is_named_once(market: SmallMarket, book: Path, *, held: bool):
    """A day that was held for the age of its data is as old on the next night."""
    late = evening(date(2026, 6, 1))
    market.record(book, market.days[0], clock=late if held else evening(market.days[0]))
    night = market.night(book, market.days[0], clock=late)
    result = ledger_result(night, record_night(night, market.dataset(market.days[0])), {})
    assert (result["decision"], result["closedGates"]) == ("Held" if held else "Decided", "dataAge")


@pytest.mark.parametrize(
    ("rules", "synthetic"),
    [(RULES, True), (replace(RULES, gates=replace(RULES.gates, max_data_age_days=None)), False)],
)
def test_data_that_has_no_age_is_never_old(market: SmallMarket, book: Path, rules: Rules, *, synthetic: bool):
    """Nor is any where the rules do not ask."""
    facts = replace(GOOD, synthetic=synthetic)
    market.record(book, market.days[0], rules=rules)
    again = market.record(book, market.days[0], rules=rules, facts=facts, clock=evening(date(2026, 6, 1)))
    assert (again.closed_since, again.notes) == ((), ())


def test_other_rules_for_a_recorded_day_are_said(market: SmallMarket, book: Path):
    """They begin an era with the next decision."""
    market.record(book, market.days[0])
    before, other = files_of(book), replace(RULES, targets=Targets(topk=2, n_drop=1))
    again = market.record(book, market.days[0], rules=other)
    assert "this run has other rules" in again.notes[0]
    assert files_of(book) == before
    assert market.record(book, market.days[1], rules=other).decision["era"] == 2


@pytest.mark.parametrize("decided", [True, False])
def test_a_last_day_that_its_vendor_has_withdrawn_does_not_stop_a_book(
    market: SmallMarket, book: Path, tmp_path: Path, *, decided: bool
):
    """It stays in the book; the next trading day of the data follows it, and the decision says so."""
    gone, following = market.days[1], market.days[2]
    market.record(book, market.days[0])
    if decided:
        market.record(book, gone)
    else:  # the night was killed before its decision
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nights, "decide", killed)
            with pytest.raises(ArithmeticError):
                market.record(book, gone)
    other = SmallMarket(tmp_path, days=tuple(day for day in market.days if day != gone))
    done = record_night(other.night(book, following), other.dataset(following))
    assert (done.new, done.reconciled) == (True, 1)
    assert f"the data has no trading day {gone} any more" in done.notes[-1]
    chain = Chain.read(book)
    assert [one.day for one in chain.fills] == [gone, following]
    if decided:
        orders = next(one for one in chain.decisions if one.day == gone).document["orders"]
        assert {one["order"] for one in chain.fills[-1].document["fills"]} == {one["id"] for one in orders}
    after = record_night(other.night(book, market.days[3]), other.dataset(market.days[3]))
    assert not [note for note in after.notes if "any more" in note]
