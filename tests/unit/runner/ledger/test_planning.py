"""From signals to targets and orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.ledger.written_prices import DAYS, RULES, account, held, quotes_of, rules

from qlib_shadow_runner.ledger.orders import order_id, slices_of
from qlib_shadow_runner.ledger.plan import Plan, make_plan, only_sales
from qlib_shadow_runner.ledger.rules import Limits
from qlib_shadow_runner.ledger.sessions import Sessions
from qlib_shadow_runner.ledger.topk import choose

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.ledger.account import Account
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

SESSION = ((datetime(2020, 1, 2, 14, 30, tzinfo=UTC), datetime(2020, 1, 2, 21, tzinfo=UTC)),)
SCORES = {"AAA": 3.0, "BBB": 2.0, "CCC": 1.0}
IDENTITY: dict[str, Any] = {
    "book": "us",
    "day": DAYS[0],
    "instrument": "AAA",
    "side": "buy",
    "quantity": 10.0,
    "rules": "abc",
}


@pytest.fixture
def quotes(tmp_path: Path) -> Quotes:
    """Return three instruments; CCC has no volume."""
    closes = {"AAA": [10.0], "BBB": [20.0], "CCC": [40.0]}
    return quotes_of(tmp_path, close=closes, volume={"AAA": [1000], "BBB": [500], "CCC": [0]})


def plan(start: Account, quotes: Quotes, by: Rules = RULES, **more: Any) -> Plan:
    """Return the plan of the first day."""
    named = {"scores": SCORES, "expected": {}, **more}
    return make_plan(start, rules=by, quotes=quotes, day=DAYS[0], book="us", **named)


def test_names_without_a_score_rank_last() -> None:
    """What left the signals is dropped first, and n_drop counts it."""
    assert choose({"AAA": 1, "BBB": -1}, ["CCC", "BBB"], 2, 1) == choose(
        {"AAA": 1, "BBB": -1}, ["BBB", "CCC"], 2, 1
    )
    found = choose({"AAA": 1, "BBB": -1}, ["CCC", "BBB"], 2, 1)
    assert (found.sell, found.buy) == (("CCC",), ("AAA",))


def test_equal_scores_are_ordered_by_name_and_said(quotes: Quotes) -> None:
    """Whatever the order of the signals."""
    scores = {"CCC": 1.0, "BBB": 1.0, "AAA": 1.0}
    found = plan(account(1000), quotes, scores=scores)
    assert [one.instrument for one in found.orders] == ["AAA", "BBB"]
    assert found.notes == ("Equal scores at the cut are ordered by name.",)


def test_day_without_signals_has_no_orders(quotes: Quotes) -> None:
    """And what is held stays the target."""
    found = plan(account(600, AAA=held(40, 10)), quotes, scores={})
    assert (found.orders, found.targets) == ((), {"AAA": 0.4})


def test_purchases_are_estimated_and_sized_on_their_day(quotes: Quotes) -> None:
    """Of 1000, 95% in two parts, in whole shares."""
    found = plan(account(1000), quotes)
    assert [(one.instrument, one.shares, one.money_share) for one in found.orders] == [
        ("AAA", 47, 0.475),
        ("BBB", 23, 0.475),
    ]
    assert found.targets == pytest.approx({"AAA": 0.475, "BBB": 0.475})
    assert found.figures == pytest.approx(
        {"turnover": 0.93, "gross": 0.93, "names": 2, "maxWeight": 0.47, "participation": 0.047}
    )


def test_volume_that_is_not_known_is_told_where_it_is_asked_for(quotes: Quotes) -> None:
    """Then the largest share is not known, unless another order exceeds the limit in any case."""
    start = account(1000, CCC=held(5, 40))
    asked = plan(start, quotes, rules(targets={"topk": 1}, limits=Limits(max_participation=0.5)))
    assert asked.notes == ("CCC: its volume is not known; no participation is asked of it.",)
    assert asked.figures["participation"] is None
    low = plan(start, quotes, rules(targets={"topk": 1}, limits=Limits(max_participation=0.1)))
    assert low.figures["participation"] == pytest.approx(0.114)
    assert plan(start, quotes, rules(targets={"topk": 1})).notes == ()


def test_new_holding_is_kept_for_its_days(quotes: Quotes) -> None:
    """It would be dropped otherwise."""
    start = account(0, CCC=held(10, 40, days=2), BBB=held(10, 20, days=2))
    assert [one.instrument for one in plan(start, quotes, rules(targets={"hold_days": 2})).orders][:1] == [
        "CCC"
    ]
    kept = plan(start, quotes, rules(targets={"hold_days": 3}))
    assert [one.side for one in kept.orders] == ["buy"]


@pytest.mark.parametrize("weights", ["equal", "score", "inverseVol"])
def test_weights_sum_to_the_degree_of_investment(quotes: Quotes, weights: str) -> None:
    """Whatever they follow, and whatever is known."""
    by = rules(targets={"weights": weights, "topk": 3, "risk_degree": 0.9})
    found = plan(account(1000), quotes, by, expected={"AAA": 0.02, "BBB": -0.01})
    assert sum(found.targets.values()) == pytest.approx(0.9)


def test_orders_lead_to_the_weights(quotes: Quotes) -> None:
    """Sales first, of all that is dropped and of what is too much; whole shares."""
    start = account(100, CCC=held(10, 40), BBB=held(25, 20))
    found = plan(start, quotes, rules(targets={"weights": "equal"}))
    assert [(one.side, one.instrument, one.shares) for one in found.orders] == [
        ("sell", "CCC", 10),
        ("sell", "BBB", 1),
        ("buy", "AAA", 47),
    ]
    assert found.figures["gross"] == pytest.approx(0.95)
    assert all(one.money_share is None for one in found.orders)


def test_account_at_its_weights_has_no_orders(quotes: Quotes) -> None:
    """Not even of what rounding leaves, where fractions of shares are traded."""
    start = account(50, AAA=held(0.475 * 1000 / 10 * (1 + 1e-12), 10), BBB=held(0.475 * 1000 / 20, 20))
    by = rules(targets={"weights": "equal"}, costs={"trade_unit": None})
    assert plan(start, quotes, by).orders == ()


def test_score_weights_follow_expected_returns(quotes: Quotes) -> None:
    """A loss gets nothing; without any, all are equal and a note says so."""
    by = rules(targets={"weights": "score", "topk": 3, "risk_degree": 1.0})
    found = plan(account(1000), quotes, by, expected={"AAA": 0.03, "BBB": 0.01, "CCC": -0.02})
    assert found.targets == pytest.approx({"AAA": 0.75, "BBB": 0.25, "CCC": 0})
    assert found.notes == ()
    blind = plan(account(1000), quotes, by)
    assert blind.targets == pytest.approx(dict.fromkeys(SCORES, 1 / 3))
    assert blind.notes == ("No expected returns are known: the weights are equal.",)


def test_inverse_volatility_needs_days(tmp_path: Path) -> None:
    """The calm one gets more, the new one the mean of the others; when all are new, all get the same."""
    calm = [10 * 1.01 ** (number % 2) for number in range(61)]
    wild = [10 * 1.03 ** (number % 2) for number in range(61)]
    new = [float("nan")] * 51 + [10.0] * 10
    quotes = quotes_of(tmp_path, close={"AAA": calm, "BBB": wild, "CCC": new})
    by = rules(targets={"weights": "inverseVol", "topk": 3, "risk_degree": 1.0})
    found = make_plan(account(1000), SCORES, {}, by, quotes, day=DAYS[60], book="us")
    assert found.targets["AAA"] == pytest.approx(3 * found.targets["BBB"], rel=0.03)
    assert found.targets["CCC"] == pytest.approx((found.targets["AAA"] + found.targets["BBB"]) / 2)
    assert found.notes == ("No volatility is known of CCC: counted as the mean of the others.",)
    early = make_plan(account(1000), SCORES, {}, by, quotes, day=DAYS[15], book="us")
    assert early.targets == pytest.approx(dict.fromkeys(SCORES, 1 / 3))
    assert "the weights are equal" in early.notes[-1]


def test_only_sales_keeps_no_purchase(quotes: Quotes) -> None:
    """Targets and figures are those of the sales alone."""
    start = account(100, CCC=held(10, 40), BBB=held(25, 20))
    found = only_sales(plan(start, quotes))
    assert [(one.side, one.instrument) for one in found.orders] == [("sell", "CCC")]
    assert found.targets == {"BBB": 0.5}
    assert found.figures == pytest.approx(
        {"turnover": 0.4, "gross": 0.5, "names": 1, "maxWeight": 0.0, "participation": None}
    )


@pytest.mark.parametrize(
    "other",
    [
        {"book": "cn"},
        {"day": DAYS[1]},
        {"instrument": "BBB"},
        {"side": "sell"},
        {"quantity": 11.0},
        {"rules": "abd"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_each_part_of_an_order_is_in_its_id(other: dict[str, Any]) -> None:
    """And nothing else: the same parts give the same id on every machine."""
    assert order_id(**IDENTITY) == "48c4a51b2322f183805f"
    assert order_id(**{**IDENTITY, **other}) != order_id(**IDENTITY)


def test_ids_of_a_plan_are_stable(quotes: Quotes) -> None:
    """Made again they are the same; by other rules they are others."""
    first, again = (plan(account(1000), quotes) for _ in range(2))
    assert first == again
    other = plan(account(1000), quotes, replace(RULES, unfilled="Carry"))
    assert not {one.id for one in first.orders} & {one.id for one in other.orders}


@pytest.mark.parametrize(
    ("shares", "unit", "sizes"),
    [
        (10.0, 1, [4, 3, 3]),
        (250.0, 100, [100, 150]),
        (2.0, 1, [1, 1]),
        (100.5, 1, [34, 33, 33.5]),
        (0.5, 1, [0.5]),
        (9.0, None, [3, 3, 3]),
    ],
)
def test_slices_sum_to_the_order(shares: float, unit: int | None, sizes: list[float]) -> None:
    """In whole lots, at equal distances from the opening on."""
    found = slices_of("abc", shares, unit, 3, SESSION)
    assert [one["shares"] for one in found] == sizes
    assert sum(one["shares"] for one in found) == shares
    times = ["2020-01-02T14:30:00Z", "2020-01-02T16:40:00Z", "2020-01-02T18:50:00Z"]
    assert [(one["id"], one["time"]) for one in found] == [
        (f"abc-{number}", times[number]) for number in range(len(sizes))
    ]


def test_no_slice_is_in_a_break_at_noon() -> None:
    """Four hours of trading in Shanghai, in two spans: the third of four slices is after the break."""
    found = slices_of("abc", 4.0, 1, 4, Sessions.of("XSHG").hours(date(2020, 1, 2)))
    assert [one["time"][11:16] for one in found] == ["01:30", "02:30", "05:00", "06:00"]


def test_orders_have_slices_where_there_are_several(quotes: Quotes) -> None:
    """One slice is the order itself."""
    sliced = plan(account(1000), quotes, rules(slices=2), hours=SESSION)
    assert [len(one.slices) for one in sliced.orders] == [2, 2]
    assert all(one.slices == () for one in plan(account(1000), quotes, hours=SESSION).orders)
