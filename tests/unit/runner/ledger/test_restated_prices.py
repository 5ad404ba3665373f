"""A newer dataset gives past days other prices: what is held keeps its value, and it is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.written_prices import DAYS, RULES, account, held, order, quotes_of, rules

from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.settle import settle_day

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = DAYS[0], DAYS[1]


def test_backward_adjustment_keeps_value_and_raw_shares(tmp_path: Path) -> None:
    """A split of 2 for 1 after the first day halves its adjusted price and its factor."""
    quotes = quotes_of(tmp_path, close={"AAA": [5, 5.5]}, factor={"AAA": [0.5, 0.5]})
    found = settle_day(account(7, AAA=held(100, 10)), [], RULES, quotes, before=FIRST, day=SECOND)
    after = found.account.holdings["AAA"]
    assert (after.amount, after.shares, after.value) == (200, 100, 1100)
    assert found.pnl == 100
    assert found.adjusted == ({"instrument": "AAA", "day": FIRST.isoformat(), "ratio": 0.5, "raw": False},)


def test_corrected_price_is_told_apart_from_an_adjustment(tmp_path: Path) -> None:
    """The raw price of the day was wrong: the value of that day stands, and raw shares follow it."""
    quotes = quotes_of(tmp_path, close={"AAA": [20, 22]}, factor={"AAA": [1, 1]})
    found = settle_day(account(0, AAA=held(100, 10)), [], RULES, quotes, before=FIRST, day=SECOND)
    assert found.account.holdings["AAA"].shares == 50
    assert found.pnl == 100
    assert [one["raw"] for one in found.adjusted] == [True]


def test_dataset_without_factors_that_is_adjusted_for_a_split(tmp_path: Path) -> None:
    """Twice the shares at half the price; whether raw prices changed, it cannot tell."""
    quotes = quotes_of(tmp_path, close={"AAA": [5, 6]}, factor={})
    found = settle_day(account(0, AAA=held(100, 10)), [], RULES, quotes, before=FIRST, day=SECOND)
    assert (found.account.holdings["AAA"].amount, found.account.value) == (200, 1200)
    assert [one["raw"] for one in found.adjusted] == [None]


def test_last_digit_of_a_price_is_followed_and_not_noted(tmp_path: Path) -> None:
    """Single precision loses it with every new adjustment."""
    quotes = quotes_of(tmp_path, close={"AAA": [10.000001, 10.000001]})
    found = settle_day(account(0, AAA=held(100, 10)), [], RULES, quotes, before=FIRST, day=SECOND)
    assert found.pnl == pytest.approx(0, abs=1e-12)
    assert found.adjusted == ()


def test_price_that_is_gone_leaves_the_holding(tmp_path: Path) -> None:
    """Nothing to go by: it stays, and a note says so."""
    quotes = quotes_of(tmp_path, close={"BBB": [1, 1]})
    found = settle_day(account(0, AAA=held(100, 10)), [], RULES, quotes, before=FIRST, day=SECOND)
    assert found.account.value == 1000
    assert "AAA: the dataset has no close of 2020-01-01 any more" in found.notes[0]


def test_orders_follow_a_restated_price(tmp_path: Path) -> None:
    """A sale of all, a purchase of raw shares and their shortfall are those of before, in new units."""
    names = {"AAA": [5, 5.5], "BBB": [5, 5.5]}
    quotes = quotes_of(tmp_path, close=names, factor={name: [0.5, 0.5] for name in names})
    orders = [order("AAA", "sell", 100, 10), order("BBB", "buy", 100, 10)]
    found = settle_day(account(5000, AAA=held(100, 10)), orders, RULES, quotes, before=FIRST, day=SECOND)
    assert [(fill.shares, fill.amount) for fill in found.fills] == [(100, 200), (100, 200)]
    assert [fill.shortfall for fill in found.fills] == [-100, 100]
    assert list(found.account.holdings) == ["BBB"]


def test_restatement_while_an_order_waits(tmp_path: Path) -> None:
    """A carried order is in the units of the dataset that carried it, and follows the next one."""
    nan, by = float("nan"), rules(unfilled="Carry")
    first = quotes_of(tmp_path / "1", close={"AAA": [10, nan]})
    second = quotes_of(tmp_path / "2", close={"AAA": [5, nan, 6]}, factor={"AAA": [0.5] * 3})
    waits = settle_day(account(5000), [order("AAA", "buy", 100, 10)], by, first, before=FIRST, day=SECOND)
    found = settle_day(waits.account, waits.carried, by, second, before=SECOND, day=DAYS[2])
    assert (found.fills[0].shares, found.fills[0].value) == (100, 1200)


def test_plan_is_in_the_units_of_its_dataset(tmp_path: Path) -> None:
    """The account was valued by an earlier dataset, in a night that ended before it decided."""
    quotes = quotes_of(tmp_path, close={"AAA": [5], "BBB": [7]}, factor={"AAA": [0.5], "BBB": [1]})
    start = account(500, AAA=held(100, 10))
    one = rules(targets={"topk": 1})
    found = make_plan(start, {"BBB": 1.0, "AAA": 0.0}, {}, one, quotes, day=FIRST, book="us")
    assert [(one.side, one.shares, one.amount) for one in found.orders] == [
        ("sell", 100, 200),
        ("buy", 203, 203),
    ]
