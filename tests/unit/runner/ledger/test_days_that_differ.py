"""Limits, losses, lateness and missing prices on days that are not like the others."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.small_market import GOOD, RULES, SmallMarket

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.overview import overview
from qlib_shadow_runner.ledger.rules import GateRules, Limits, Targets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Priced(SmallMarket):
    """The market with other closes of AAA; a day whose close is None has no price of it."""

    aaa: Mapping[int, float | None] = {}

    def dataset(self, through: object = None) -> Dataset:
        """Return the data of an evening, with these closes."""
        found = super().dataset(through)  # type: ignore[arg-type]
        folder = found.folder.with_name(f"{found.folder.name}-priced")
        if not folder.exists():
            shutil.copytree(found.folder, folder)
            path = folder / "features" / "aaa" / "close.day.bin"
            values = list(struct.unpack(f"<{path.stat().st_size // 4}f", path.read_bytes()))
            for day, close in self.aaa.items():
                if day + 1 < len(values):
                    values[day + 1] = float("nan") if close is None else close
            path.write_bytes(struct.pack(f"<{len(values)}f", *values))
        return Dataset(folder)


def priced(tmp_path: Path, closes: Mapping[int, float | None]) -> Priced:
    """Return the market of a test."""
    found = Priced(tmp_path)
    object.__setattr__(found, "aaa", closes)
    return found


def scores(*best: str) -> dict[str, float]:
    """Return signals in which these are the best, in this order."""
    names = [*best, *(one for one in ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF") if one not in best)]
    return {name: 1.0 - 0.1 * place for place, name in enumerate(names)}


def test_a_holding_that_has_grown_by_itself_holds_no_book(tmp_path: Path, book: Path):
    """It is told of, and the others are bought and sold as ever."""
    market = priced(tmp_path, {day: 50.0 if day < 2 else 100.0 for day in range(12)})
    rules = replace(RULES, limits=Limits(max_weight=0.35))
    for day in market.days[:2]:
        market.record(book, day, rules=rules, scores=scores("AAA", "BBB", "CCC"))
    done = market.record(book, market.days[2], rules=rules, scores=scores("AAA", "BBB", "DDD"))
    assert done.decision["decision"] == "Decided"
    assert {one["instrument"] for one in done.decision["orders"]} == {"CCC", "DDD"}
    [told] = [one for one in done.decision["notes"] if "has grown to" in one]
    assert told.startswith("AAA has grown to 4")
    assert verify_book(book, market.dataset(), done.head) == []


def test_a_loss_on_a_missed_day_leaves_only_sales(tmp_path: Path, book: Path):
    """The worst day since the last decision counts, and not the last one alone."""
    market = priced(tmp_path, {day: 50.0 if day < 2 else 20.0 for day in range(12)})
    rules = replace(RULES, targets=Targets(topk=1, n_drop=1), gates=GateRules(max_daily_loss=0.05))
    for day in market.days[:2]:
        market.record(book, day, rules=rules, scores=scores("AAA"))
    done = market.record(book, market.days[4], rules=rules, scores=scores("AAA"))
    assert done.decision["decision"] == "Reducing"
    assert done.decision["figures"]["dayReturn"] < -0.5
    assert verify_book(book, market.dataset(), done.head) == []


def test_a_holding_without_prices_is_named_and_so_is_its_sale_that_comes_to_nothing(
    tmp_path: Path, book: Path
):
    """In the decision, in the message and in the overview, from the third trading day on."""
    market = priced(tmp_path, dict.fromkeys(range(3, 12)))
    best = {0: scores("AAA", "BBB", "CCC"), 2: scores("DDD", "EEE", "FFF", "BBB", "CCC", "AAA")}
    for number, day in enumerate(market.days[:6]):
        done = market.record(book, day, scores=best[0 if number < 2 else 2])
        said = f"no price since {market.days[2]}: AAA"
        assert (said in done.decision["notes"]) is (said in done.sentence) is (number == 5)
    assert any("for want of a price: AAA" in one for one in done.decision["notes"])
    found = overview(book)
    assert found.unpriced == (said,)
    assert said in found.sentence


def test_a_book_says_for_how_many_nights_it_is_held(market: SmallMarket, book: Path):
    """In the message and in the overview."""
    market.record(book, market.days[0])
    for number, day in enumerate(market.days[1:4], 1):
        done = market.record(book, day, facts=replace(GOOD, drift="drifting"))
        assert (f"Held for {number} nights" in done.sentence) is (number > 1)
    found = overview(book)
    assert found.held_nights == 3
    assert found.sentence.startswith("Held for 3 nights, positions stay")


def test_a_decision_made_after_its_prices_are_known_is_late(market: SmallMarket, book: Path):
    """Also without a time before which it has to be made; days of synthetic data are no sessions."""
    first, due = market.days[:2]
    close = datetime.combine(due, time(21), UTC)
    for name, facts, later, at, late in (
        ("at-close", GOOD, timedelta(), "close", False),
        ("after-close", GOOD, timedelta(seconds=1), "close", True),
        ("after-open", GOOD, -timedelta(hours=1), "open", True),
        ("synthetic", replace(GOOD, synthetic=True), timedelta(days=99), "close", False),
    ):
        folder = book.parent / name
        rules = replace(RULES, fill_at=at)
        done = market.record(folder, first, clock=lambda by=later: close + by, facts=facts, rules=rules)
        assert (name, done.decision["late"]) == (name, late)
        assert verify_book(folder, market.dataset(), done.head) == []


def test_an_order_that_is_carried_stays_due_over_a_held_night(tmp_path: Path, book: Path):
    """A held night decides nothing; the order is tried on the day after."""
    market = priced(tmp_path, {1: None})
    rules = replace(RULES, unfilled="Carry")
    market.record(book, market.days[0], rules=rules, scores=scores("AAA", "BBB", "CCC"))
    market.record(book, market.days[1], rules=rules, facts=replace(GOOD, drift="drifting"))
    done = market.record(book, market.days[2], rules=rules, scores=scores("AAA", "BBB", "CCC"))
    second = Chain.read(book).fills[1].document
    assert second["decision"] == f"{market.days[0]}"
    assert [(one["instrument"], one["why"]) for one in second["fills"] if one["shares"]] == [("AAA", None)]
    assert verify_book(book, market.dataset(), done.head) == []


@pytest.mark.parametrize("score", [float("inf"), float("nan")])
def test_a_score_that_is_no_finite_number_is_refused_in_a_sentence(
    market: SmallMarket, book: Path, score: float
):
    """And nothing is written."""
    with pytest.raises(StageError, match="no finite numbers, such as that of AAA") as caught:
        record_night(market.night(book, market.days[0], scores={"AAA": score}), market.dataset())
    assert caught.value.reason is Reason.LEDGER_REFUSED
    assert not book.exists()
