"""A night is recorded once, in order, and the same nights always give the same chain."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runner.ledger.small_market import (
    BOOK,
    CAPITAL,
    GOOD,
    RULES,
    SmallMarket,
    files_of,
)

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import book as writing
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.halts import halt, resume
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

STORIES: Final = int(os.environ.get("QLIB_SHADOW_CHAOS_LEDGER_STORIES", "15"))
DAYS: Final = 7


Attempt = tuple[int | None, str, int]


class Killed(BaseException):
    """The process of a story ends here."""


def story_of(chain: Chain) -> list[dict[str, Any]]:
    """Return a chain without what may differ: which run wrote an entry, and so the hashes."""
    return [
        {**entry.document, "run": {**entry.document["run"], **WHO}, "previous": ""} for entry in chain.entries
    ]


WHO: Final = {"runId": "", "datasetFingerprint": "", "uid": ""}
ATTEMPTS: Final = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 9)),
        st.sampled_from(["first", "second"]),
        st.integers(0, 2),
    ),
    max_size=3,
)
"""For each night its attempts: after how many points each is killed, whose run it is, and how many days of
data there are beyond the night's."""


@settings(max_examples=STORIES, deadline=None)
@given(st.lists(ATTEMPTS, min_size=2, max_size=DAYS))
def test_random_stories_of_splits_crashes_retries_and_missed_nights_give_one_chain(
    market: SmallMarket, tmp_path_factory: pytest.TempPathFactory, story: list[list[Attempt]]
):
    """What may differ is only which run wrote an entry."""
    book = tmp_path_factory.mktemp("story") / BOOK
    for day, attempts in zip(market.days, story, strict=False):
        for one in attempts:
            attempt(market, book, day, one)
    if not (book / "BOOK.json").exists():
        return
    chain = Chain.read(book)
    undisturbed = tmp_path_factory.mktemp("undisturbed") / BOOK
    for decision in chain.decisions:
        market.record(undisturbed, decision.day)
    wanted = story_of(Chain.read(undisturbed)) if chain.decisions else []
    found = story_of(chain)
    # A night that was killed and never repeated may have reconciled days before the next night does.
    assert found[: len(wanted)] == wanted
    assert {one["kind"] for one in found[len(wanted) :]} <= {"fills"}
    assert verify_book(book, market.dataset(), chain.head) == []


def attempt(market: SmallMarket, book: Path, day: date, how: Attempt) -> None:
    """Record a night, or die after some points."""
    kill, who, beyond = how
    left = [kill or 0]

    def point(_name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    known = market.days[min(market.days.index(day) + beyond, len(market.days) - 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "fault_point", point)
        night = market.night(book, day, run={"runId": f"{who}-{day}", "uid": who})
        with contextlib.suppress(Killed):
            record_night(night, market.dataset(known))


def test_each_night_adds_the_trading_days_since_and_one_decision(market: SmallMarket, book: Path):
    """Each entry holds the hash of the one before, and the last one's is the head."""
    for number, day in enumerate(market.days[:4]):
        done = market.record(book, day)
        assert (done.new, done.reconciled) == (True, min(number, 1))
    chain = Chain.read(book)
    assert [(one.kind, one.day) for one in chain.entries[:3]] == [
        ("decision", market.days[0]),
        ("fills", market.days[1]),
        ("decision", market.days[1]),
    ]
    assert [one.document["previous"] for one in chain.entries[1:]] == [
        one.sha256 for one in chain.entries[:-1]
    ]
    assert done.head == chain.head
    assert chain.book["capital"] == CAPITAL


def test_a_recorded_night_says_again_why_it_was_held(market: SmallMarket, book: Path):
    """Also a retry of the same run, whose first attempt recorded it and lost its message."""
    market.record(book, market.days[0])
    halt(book, "a strike", reducing=False, now=datetime(2026, 1, 2, tzinfo=UTC))
    first = market.record(book, market.days[1])
    reasons = first.sentence.partition("; ")[2]
    assert "halt: " in reasons
    assert market.record(book, market.days[1]).sentence.endswith(f"; {reasons}")


def test_missed_nights_are_reconciled_and_no_decision_is_invented_for_them(market: SmallMarket, book: Path):
    """The orders of the last decision fill on the day after it, not on the night that comes."""
    market.record(book, market.days[0])
    done = market.record(book, market.days[4])
    assert done.reconciled == 4
    assert f"3 missed ({market.days[1]} to {market.days[3]})" in done.notes[0]
    chain = Chain.read(book)
    assert [one.day for one in chain.decisions] == [market.days[0], market.days[4]]
    assert [bool(one.document["fills"]) for one in chain.fills] == [True, False, False, False]


def test_a_night_before_the_last_decision_is_a_success_that_decides_nothing(market: SmallMarket, book: Path):
    """A run on older data than the book's finds the book ahead."""
    market.record(book, market.days[3])
    before = files_of(book)
    done = market.record(book, market.days[1])
    assert (done.new, done.decision) == (False, None)
    assert f"it has come to {market.days[3]}" in done.sentence
    assert files_of(book) == before


def test_a_decision_after_its_deadline_is_late_and_never_filled(market: SmallMarket, book: Path):
    """In the second of the deadline it is in time; a second later it is hindsight."""
    rules = replace(RULES, decide_before="09:00 America/New_York")
    in_time = datetime.combine(market.days[1], datetime.min.time(), UTC) + timedelta(hours=14)
    first = market.record(book, market.days[0], rules=rules, clock=lambda: in_time)  # 09:00 in New York
    assert first.decision["late"] is False
    second = market.record(
        book, market.days[1], rules=rules, clock=lambda: in_time + timedelta(days=1, seconds=1)
    )
    assert second.decision["late"] is True
    assert "Late" in second.sentence
    assert second.decision["orders"]
    third = market.record(book, market.days[2], rules=rules)
    filled = Chain.read(book).fills[-1].document
    assert (filled["fills"], filled["decision"]) == ([], None)
    assert third.decision["late"] is False
    assert verify_book(book, market.dataset(market.days[2])) == []


def test_without_a_deadline_no_decision_is_late(market: SmallMarket, book: Path):
    """Years may pass."""
    years_later = datetime(2031, 1, 1, tzinfo=UTC)
    rules = replace(RULES, gates=replace(RULES.gates, max_data_age_days=None))
    assert (
        market.record(book, market.days[0], rules=rules, clock=lambda: years_later).decision["late"] is False
    )


def test_other_rules_begin_an_era_that_the_decision_records(market: SmallMarket, book: Path):
    """An era lasts until the rules change again."""
    market.record(book, market.days[0])
    other = replace(RULES, targets=Targets(topk=2, n_drop=1))
    done = market.record(book, market.days[1], rules=other)
    assert (done.decision["era"], Rules.read(done.decision["rules"])) == (2, other)
    assert "era 2" in done.notes[0]
    again = market.record(book, market.days[2], rules=other)
    assert (again.decision["era"], again.decision["rules"]) == (2, None)
    assert Chain.read(book).rules == (RULES, other)
    assert verify_book(book, market.dataset(market.days[2])) == []


def test_a_day_is_settled_by_the_rules_of_its_decision(market: SmallMarket, book: Path):
    """Rules that change between a decision and its fills do not reach back."""
    free = replace(RULES, costs=replace(RULES.costs, open_cost=0.0, close_cost=0.0, min_cost=0.0))
    market.record(book, market.days[0], rules=free)
    market.record(book, market.days[1])
    assert Chain.read(book).fills[0].document["costs"] == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"capital": 5.0}, "spec.ledger.capital is 5.00, and the book us-shadow has begun with 1,000,000.00"),
        ({"rules": replace(RULES, costs=Costs(trade_unit=0))}, "has costs.trade_unit 0, not a whole number"),
        ({"rules": replace(RULES, costs=Costs(open_cost=-0.1))}, "has costs.open_cost -0.1, not a number"),
        ({"namespace": "other"}, "belongs to the namespace research"),
        ({"rules": replace(RULES, calendar="XNYSE")}, 'there is no exchange XNYSE; did you mean "XNYS"?'),
        (
            {"rules": replace(RULES, decide_before="09:00 America/New_Yrok")},
            'is no time zone; did you mean "America/New_York"?',
        ),
    ],
)
def test_a_run_that_does_not_fit_its_book_is_refused(
    market: SmallMarket, book: Path, change: dict[str, Any], said: str
):
    """Nothing is written then."""
    market.record(book, market.days[0])
    before = files_of(book)
    with pytest.raises(StageError) as caught:
        market.record(book, market.days[1], **change)
    assert caught.value.reason is Reason.LEDGER_REFUSED
    assert said in caught.value.message
    assert files_of(book) == before


def test_a_book_without_capital_does_not_begin(market: SmallMarket, book: Path):
    """Neither the spec nor the portfolio file gives any."""
    with pytest.raises(StageError, match=r"spec\.ledger\.capital") as caught:
        market.record(book, market.days[0], capital=None)
    assert caught.value.reason is Reason.LEDGER_REFUSED
    assert files_of(book) == {}


def test_a_book_keeps_its_capital_where_the_spec_or_the_portfolio_gives_another(
    market: SmallMarket, book: Path
):
    """The capital counts from the beginning; a changed portfolio file stops no night."""
    market.record(book, market.days[0], share=0.5)
    assert market.record(book, market.days[1], capital=None).new
    done = market.record(book, market.days[2], capital=7.0, share=0.4)
    assert "it keeps its capital of 1,000,000.00" in done.notes[0]


def test_data_without_the_day_of_the_signals_is_refused(market: SmallMarket, book: Path, tmp_path: Path):
    """Nothing could be priced then."""
    other = SmallMarket(tmp_path, days=(market.days[0], *market.days[2:]), seed=3)
    with pytest.raises(StageError, match=f"no trading day {market.days[1]}") as caught:
        record_night(market.night(book, market.days[1]), other.dataset())
    assert caught.value.reason is Reason.LEDGER_REFUSED


def test_drafts_of_killed_processes_are_left_out_and_removed(market: SmallMarket, book: Path):
    """They are hidden, and locked by nothing."""
    market.record(book, market.days[0])
    draft = book / "chain" / ".000002.json.0badcafe.tmp"
    draft.write_text("half")
    Chain.read(book)
    market.record(book, market.days[1])
    assert not draft.exists()


def test_a_held_day_keeps_positions_and_orders_nothing(market: SmallMarket, book: Path):
    """The reason is in the sentence of the run."""
    for day in market.days[:2]:
        market.record(book, day)
    held = market.record(book, market.days[2], facts=replace(GOOD, golden="failed", golden_why="no report"))
    assert held.decision["decision"] == "Held"
    assert held.decision["orders"] == []
    positions = held.decision["account"]["positions"]
    assert held.decision["targets"] == {one["instrument"]: one["weight"] for one in positions}
    assert "golden: the checks of a golden run have failed: no report" in held.sentence
    after = market.record(book, market.days[3])
    assert [one["amount"] for one in after.decision["account"]["positions"]] == [
        one["amount"] for one in positions
    ]
    assert verify_book(book, market.dataset(market.days[3])) == []


def test_a_kill_switch_is_obeyed_before_the_fill_and_reducing_lets_sales_pass(
    market: SmallMarket, book: Path
):
    """Orders that were recorded before it are stopped as well."""

    def noon(day: date) -> datetime:
        return datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=16)

    for day in market.days[:2]:
        market.record(book, day)
    halt(book, "a strike", reducing=False, now=noon(market.days[2]))  # before the close at which orders fill
    held = market.record(book, market.days[2])
    stopped = Chain.read(book).fills[-1].document["fills"]
    assert stopped
    assert {(one["shares"], one["why"]) for one in stopped} == {(0.0, "the book was HALTED: a strike")}
    assert (held.decision["decision"], held.decision["orders"]) == ("Held", [])
    resume(book, "it is over", now=noon(market.days[3]))
    halt(book, "less", reducing=True, now=noon(market.days[3]) + timedelta(hours=1))
    reduced = market.record(book, market.days[3])
    assert reduced.decision["decision"] == "Reducing"
    assert {one["side"] for one in reduced.decision["orders"]} == {"sell"}
    assert verify_book(book, market.dataset(market.days[3])) == []


def test_a_kill_switch_after_the_close_leaves_the_fills_of_the_day(market: SmallMarket, book: Path):
    """What has happened by then has happened."""
    market.record(book, market.days[0])
    evening = datetime.combine(market.days[1], datetime.min.time(), UTC) + timedelta(hours=21, minutes=30)
    halt(book, "late", reducing=False, now=evening)
    assert market.record(book, market.days[1]).decision["decision"] == "Held"
    assert all(one["shares"] for one in Chain.read(book).fills[-1].document["fills"])


def test_drawdown_leads_to_reducing_until_a_resume_lets_the_peak_begin_again(market: SmallMarket, book: Path):
    """A resume that is not asked to forgives nothing."""
    rules = replace(RULES, gates=replace(RULES.gates, max_drawdown=1e-9))
    lost = [market.record(book, day, rules=rules).decision for day in market.days[:6]]
    down = next(one for one in lost if one["figures"]["drawdown"] > 0)
    assert down["decision"] == "Reducing"
    assert {one["side"] for one in down["orders"]} <= {"sell"}
    worst = lost[-1]["figures"]["drawdown"]
    assert worst > 0
    night = datetime.combine(market.days[5], datetime.min.time(), UTC) + timedelta(hours=23)
    resume(book, "looked at", now=night)
    kept = market.record(book, market.days[6], rules=rules).decision
    assert kept["peakSince"] == market.days[0].isoformat()
    navs = [one.document["account"]["nav"] for one in Chain.read(book).entries]
    assert kept["figures"]["drawdown"] == 1 - navs[-1] / max(navs) > 0
    resume(book, "forgiven", now=night + timedelta(days=1), reset_drawdown=True)
    after = market.record(book, market.days[7], rules=rules).decision
    assert after["peakSince"] == market.days[6].isoformat()
    navs = [one.document["account"]["nav"] for one in Chain.read(book).entries if one.day >= market.days[6]]
    assert after["figures"]["drawdown"] == 1 - navs[-1] / max(navs)
    assert market.record(book, market.days[8], rules=rules).decision["peakSince"] == after["peakSince"]
    assert verify_book(book, market.dataset(market.days[8])) == []


def test_a_night_whose_entry_could_not_be_read_again_writes_nothing(market: SmallMarket, book: Path):
    """A defect of the caller must not damage the book."""
    market.record(book, market.days[0])
    for wrong in ({"scores": {"AAA": float("nan")}}, {"promise": {"mean": "0.1"}}):
        with pytest.raises((ValueError, StageError)):
            market.record(book, market.days[1], **wrong)
    assert [one.kind for one in Chain.read(book).entries] == ["decision", "fills"]
    assert market.record(book, market.days[1]).new


def test_benchmark_and_runs_of_each_trading_day_are_recorded(market: SmallMarket, book: Path):
    """The run is the one whose data had the day's prices."""
    for day in market.days[:3]:
        market.record(book, day)
    fills = Chain.read(book).fills
    assert [one.document["benchmark"] for one in fills] == [0.001, 0.001]
    assert [one.document["run"]["runId"] for one in fills] == [f"us-{day}" for day in market.days[1:3]]


def test_navs_follow_from_day_to_day(market: SmallMarket, book: Path):
    """The profit of a day is the difference of two values."""
    for day in market.days[:5]:
        market.record(book, day)
    for one, other in pairwise(Chain.read(book).entries):
        if other.kind == "fills":
            before, after = one.document["account"]["nav"], other.document["account"]["nav"]
            assert after - before == other.document["pnl"]
