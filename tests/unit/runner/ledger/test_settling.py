"""A trading day: what each order comes to, and what becomes of what cannot be traded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.written_prices import DAYS, NAN, RULES, account, held, order, quotes_of, rules

from qlib_shadow_runner.ledger.settle import Settled, settle_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qlib_shadow_runner.ledger.account import Account, Order
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules


def settled(
    start: Account, orders: Sequence[Order], quotes: Quotes, by: Rules = RULES, day: int = 1
) -> Settled:
    """Return one of the days, settled."""
    return settle_day(start, orders, by, quotes, before=DAYS[day - 1], day=DAYS[day])


def test_slippage_makes_both_sides_worse(tmp_path: Path) -> None:
    """A purchase pays more than the close, a sale brings less; shortfall is what both lose."""
    quotes = quotes_of(tmp_path, close={"AAA": [10, 10], "BBB": [20, 20]})
    found = settled(
        account(1000, BBB=held(10, 20)),
        [order("BBB", "sell", 10, 20), order("AAA", "buy", 10, 10)],
        quotes,
        rules(costs={"slippage_bps": 100.0}),
    )
    sale, purchase = found.fills
    assert [purchase.price, sale.price] == pytest.approx([10.1, 19.8])
    assert found.account.cash == pytest.approx(1000 - 101 + 198)
    assert [fill.shortfall for fill in found.fills] == [pytest.approx(2), pytest.approx(1)]
    assert found.pnl == pytest.approx(-3)
    assert found.account.holdings["AAA"].price == 10, "it is valued at the close"


@pytest.mark.parametrize(("close", "sign"), [(11.0, 1), (9.0, -1)])
def test_shortfall_is_what_the_price_moved_against_the_order(tmp_path: Path, close: float, sign: int) -> None:
    """A dearer purchase and a cheaper sale lose, the reverse gains; costs always lose."""
    quotes = quotes_of(tmp_path, close={"AAA": [10, close], "BBB": [10, close]})
    found = settled(
        account(1000, BBB=held(10, 10)),
        [order("BBB", "sell", 10, 10), order("AAA", "buy", 20, 10)],
        quotes,
        rules(costs={"min_cost": 3.0}),
    )
    assert [fill.shortfall for fill in found.fills] == [
        pytest.approx(-10 * sign + 3),
        pytest.approx(20 * sign + 3),
    ]
    assert found.shortfall == pytest.approx(10 * sign + 6)
    assert found.costs == 6


def test_split_leaves_the_value_and_changes_raw_shares(tmp_path: Path) -> None:
    """The adjusted price goes on; the factor doubles."""
    quotes = quotes_of(tmp_path, close={"AAA": [10, 10]}, factor={"AAA": [1, 2]})
    found = settled(account(0, AAA=held(10, 10)), [], quotes)
    assert found.pnl == 0
    assert found.account.holdings["AAA"].shares == 20
    assert found.adjusted == ()


def test_dividend_is_in_the_adjusted_price(tmp_path: Path) -> None:
    """A raw price of 100 falls to 98 by a dividend of 2: the account loses nothing, and can sell it all."""
    quotes = quotes_of(tmp_path, close={"AAA": [50, 50]}, factor={"AAA": [0.5, 50 / 98]})
    found = settled(account(0, AAA=held(20, 50, factor=0.5)), [order("AAA", "sell", 20, 50)], quotes)
    assert found.account.holdings == {}
    assert found.account.cash == pytest.approx(1000)


def test_lots_are_of_raw_shares(tmp_path: Path) -> None:
    """With a factor of a half, 250 adjusted shares are 125 raw ones: one lot of 100."""
    quotes = quotes_of(tmp_path, close={"AAA": [1, 1]}, factor={"AAA": [0.5, 0.5]})
    found = settled(account(1000), [order("AAA", "buy", 250, 1)], quotes, rules(costs={"trade_unit": 100}))
    assert (found.fills[0].shares, found.fills[0].amount) == (100, 200)


def test_without_factors_there_are_no_lots(tmp_path: Path) -> None:
    """As in Qlib's adjusted mode."""
    quotes = quotes_of(tmp_path, close={"AAA": [1, 1]}, factor={})
    found = settled(account(1000), [order("AAA", "buy", 250.5, 1)], quotes, rules(costs={"trade_unit": 100}))
    assert found.fills[0].amount == 250.5


def test_cash_cuts_the_last_purchases(tmp_path: Path) -> None:
    """In order of rank: the first gets what it wants, the second what is left, the third nothing."""
    quotes = quotes_of(tmp_path, close={name: [10, 10] for name in ("AAA", "BBB", "CCC")})
    wanted = [order(name, "buy", 60, 10) for name in ("AAA", "BBB", "CCC")]
    found = settled(account(1000), wanted, quotes)
    assert [fill.amount for fill in found.fills] == [60, 40, 0]
    assert [fill.why for fill in found.fills] == [None, "the cash is not enough", "the cash is not enough"]


def test_fills_at_the_open_are_valued_at_the_close(tmp_path: Path) -> None:
    """A day without an open is filled at its close."""
    quotes = quotes_of(
        tmp_path, close={"AAA": [10, 12], "BBB": [10, 12]}, open={"AAA": [9, 11], "BBB": [9, NAN]}
    )
    orders = [order(name, "buy", 10, 10) for name in ("AAA", "BBB")]
    found = settled(account(1000), orders, quotes, rules(fill_at="open"))
    assert [fill.price for fill in found.fills] == [11, 12]
    assert found.pnl == 10


@pytest.mark.parametrize(
    ("change", "both", "traded"),
    [(0.095, True, []), (-0.095, True, []), (0.095, False, ["sell"]), (-0.095, False, ["buy"])],
)
def test_limits_of_price_forbid_trades(tmp_path: Path, change: float, both: bool, traded: list[str]) -> None:  # noqa: FBT001
    """A limit that the change has exactly, in single precision, counts."""
    names = {"AAA": [10, 10], "BBB": [10, 10]}
    quotes = quotes_of(tmp_path, close=names, change={name: [0, change] for name in names})
    found = settled(
        account(1000, BBB=held(10, 10)),
        [order("BBB", "sell", 10, 10), order("AAA", "buy", 10, 10)],
        quotes,
        rules(costs={"limit_threshold": 0.095, "forbid_all_at_limit": both}),
    )
    assert [fill.side for fill in found.fills if fill.amount] == traded


def test_dropped_orders_are_over_and_carried_ones_wait(tmp_path: Path) -> None:
    """Over a night that was missed too: no price for two days, and the order is filled on the third."""
    quotes = quotes_of(tmp_path, close={"AAA": [10, NAN, NAN, 8]})
    dropped = settled(account(1000), [order("AAA", "buy", 10, 10)], quotes)
    assert dropped.carried == ()
    assert dropped.fills[0].why == "it has no price on this day: dropped"
    by = rules(unfilled="Carry")
    found = settled(account(1000), [order("AAA", "buy", 10, 10)], quotes, by)
    for day in (2, 3):
        assert [one.id for one in found.carried] == ["AAA-buy"]
        assert found.account.cash == 1000
        found = settled(found.account, found.carried, quotes, by, day)
    assert found.carried == ()
    assert (found.fills[0].price, found.fills[0].shortfall) == (8, -20), "against the price of the decision"


def test_sale_of_what_is_not_held_is_no_fill(tmp_path: Path) -> None:
    """A holding that was ended while its sale was carried."""
    found = settled(account(10), [order("AAA", "sell", 10, 10)], quotes_of(tmp_path, close={"AAA": [10, 10]}))
    assert (found.fills[0].amount, found.fills[0].why, found.account.cash) == (0, "it is not held", 10)


@pytest.mark.parametrize(("rule", "cash"), [("Hold", 0.0), ("LastPrice", 100.0), ("Zero", 0.0)])
def test_delisted_holding_ends_after_ten_days_by_rule(tmp_path: Path, rule: str, cash: float) -> None:
    """Not after nine; its end is among the fills."""
    quotes, by = quotes_of(tmp_path, close={"AAA": [10, 10]}), rules(delisted=rule)
    found = settled(account(0, AAA=held(10, 10)), [], quotes, by)
    for day in range(2, 11):
        found = settled(found.account, [], quotes, by, day)
        assert found.account.value == 100
        assert found.fills == ()
    found = settled(found.account, [], quotes, by, 11)
    assert found.account.cash == cash
    assert list(found.account.holdings) == (["AAA"] if rule == "Hold" else [])
    assert found.pnl == (-100 if rule == "Zero" else 0)
    ended = [(fill.instrument, fill.value, fill.shortfall) for fill in found.fills]
    assert ended == {"Hold": [], "LastPrice": [("AAA", 100, 0)], "Zero": [("AAA", 0, 100)]}[rule]


def compensated(values: Iterable[float], start: float = 0.0) -> float:
    """Return a sum as Python's own gives it from 3.12 on."""
    total, lost = start, 0.0
    for value in values:
        new = total + value
        lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
        total = new
    return total + lost


def test_an_account_is_summed_step_by_step_as_qlib_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version of Python gives the same last digit, since a book's check compares them exactly."""
    small = account(0.1, A=held(1.0, 1e16), B=held(1.0, 1.1), C=held(1.0, -1e16))
    monkeypatch.setattr("builtins.sum", compensated)
    assert small.value == ((0.0 + 1e16) + 1.1 - 1e16) + 0.1
    assert compensated([1e16, 1.1, -1e16]) != small.value - 0.1
