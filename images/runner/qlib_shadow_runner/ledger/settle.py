"""A trading day: orders are filled at its real prices, and the account is valued at its close.

In Qlib's order: sales first, then purchases, then values. A purchase with a share of the money is sized from
the cash that all sales leave, as Qlib's TopkDropoutStrategy does it (Copyright (c) Microsoft Corporation, MIT
License; its text is in engine/kernels.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.account import Account, Fill
from qlib_shadow_runner.ledger.exchange import BUY, SELL, Exchange, bought, sold
from qlib_shadow_runner.ledger.restated import at_restated_prices, order_at_restated_price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.ledger.account import Order
    from qlib_shadow_runner.ledger.exchange import Dealt
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

DELISTED_AFTER: Final = 10
"""A holding that has had no price for so many trading days counts as delisted."""
CARRY: Final = "Carry"
LAST_PRICE: Final = "LastPrice"
ZERO: Final = "Zero"


@dataclass(frozen=True)
class Settled:
    """A trading day, as an entry of the chain records it."""

    account: Account
    """At the close of the day."""
    fills: tuple[Fill, ...]
    """One for each order, also where nothing could be traded, and one for each holding that is ended."""
    carried: tuple[Order, ...]
    """The orders that are still due on the next trading day."""
    adjusted: tuple[Mapping[str, Any], ...]
    """Each holding whose past price was restated; see `restated`."""
    notes: tuple[str, ...]
    costs: float
    traded: float
    pnl: float
    day_return: float
    shortfall: float


def settle_day(
    account: Account,
    orders: Sequence[Order],
    rules: Rules,
    quotes: Quotes,
    *,
    before: date,
    day: date,
) -> Settled:
    """Return a trading day: restated prices up to `before`, the day's fills, then values at its close."""
    exchange = Exchange(rules, quotes, day, quotes.index(day))
    assert before < day, "a day is settled after the one before"
    rebased = at_restated_prices(account, quotes)
    due = [order_at_restated_price(order, quotes) for order in orders]
    after, fills, carried = _trade(rebased.account, due, exchange)
    after = _valued(after, exchange)
    after, ended = _without_delisted(after, exchange)
    fills = [*fills, *ended]
    start, pnl = account.value, after.value - account.value
    return Settled(
        account=after,
        fills=tuple(fills),
        carried=tuple(carried),
        adjusted=rebased.adjusted,
        notes=rebased.notes,
        costs=math.fsum(fill.cost for fill in fills),
        traded=math.fsum(fill.value for fill in fills),
        pnl=pnl,
        day_return=pnl / start if start else 0.0,
        shortfall=math.fsum(fill.shortfall for fill in fills),
    )


def _trade(
    account: Account, orders: Sequence[Order], exchange: Exchange
) -> tuple[Account, list[Fill], list[Order]]:
    fills: list[Fill] = []
    carried: list[Order] = []
    for side in (SELL, BUY):
        money = account.cash  # after all sales
        for order in (one for one in orders if one.side == side):
            account, fill = _fill(account, order, exchange, money)
            if fill is None:
                carried, fill = _not_traded(order, exchange, carried)
            fills.append(fill)
    return account, fills, carried


def _fill(account: Account, order: Order, exchange: Exchange, money: float) -> tuple[Account, Fill | None]:
    """Return the account and the fill after an order; no fill where its instrument cannot be traded."""
    symbol = order.instrument
    if order.side == SELL and symbol not in account.holdings:
        return account, _unfilled(order, "it is not held")
    if exchange.why_closed(symbol, order.side):
        return account, None
    if order.side == SELL:
        dealt = exchange.sell(account, symbol, order.amount)
        after = sold(account, symbol, dealt) if dealt.amount else account
    else:
        amount = order.amount
        if order.money_share is not None:
            amount = exchange.lots(money * order.money_share / exchange.price(symbol, BUY), symbol)
        dealt = exchange.buy(account, symbol, amount)
        factor = exchange.quotes.factor(symbol, exchange.index)
        after = bought(account, symbol, dealt, factor, exchange.day) if dealt.amount else account
    return after, _filled(order, dealt, exchange)


def _filled(order: Order, dealt: Dealt, exchange: Exchange) -> Fill:
    worse = dealt.price - order.price if order.side == BUY else order.price - dealt.price
    moved = dealt.amount * worse if order.price > 0 else 0.0
    return Fill(
        order=order.id,
        instrument=order.instrument,
        side=order.side,
        shares=dealt.amount * exchange.quotes.factor(order.instrument, exchange.index),
        amount=dealt.amount,
        price=dealt.price,
        value=dealt.value,
        cost=dealt.cost,
        shortfall=dealt.cost + moved,
        why=dealt.why,
    )


def _not_traded(order: Order, exchange: Exchange, carried: list[Order]) -> tuple[list[Order], Fill]:
    why = exchange.why_closed(order.instrument, order.side)
    if exchange.rules.unfilled != CARRY:
        return carried, _unfilled(order, f"{why}: dropped")
    return [*carried, order], _unfilled(order, f"{why}: carried to the next trading day")


def _unfilled(order: Order, why: str) -> Fill:
    nothing = dict.fromkeys(("shares", "amount", "value", "cost", "shortfall"), 0.0)
    return Fill(
        order=order.id, instrument=order.instrument, side=order.side, price=order.price, why=why, **nothing
    )


def _valued(account: Account, exchange: Exchange) -> Account:
    """Return the account with the day's closes, where there are any, and a day more of each holding."""
    quotes, index, holdings = exchange.quotes, exchange.index, dict(account.holdings)
    for symbol, held in holdings.items():
        held_on = replace(held, days=held.days + 1)
        close = quotes.get("close", symbol, index)
        if not math.isnan(close):
            held_on = replace(
                held_on, price=close, factor=quotes.factor(symbol, index), priced=exchange.day.isoformat()
            )
        holdings[symbol] = held_on
    return replace(account, holdings=holdings)


def _without_delisted(account: Account, exchange: Exchange) -> tuple[Account, Iterable[Fill]]:
    """Return the account without the holdings that the rule for delisted instruments ends."""
    if exchange.rules.delisted not in (LAST_PRICE, ZERO):
        return account, ()
    cash, holdings, ended = account.cash, dict(account.holdings), []
    for symbol, held in account.holdings.items():
        if _days_without_price(held.priced, exchange) < DELISTED_AFTER:
            continue
        price = held.price if exchange.rules.delisted == LAST_PRICE else 0.0
        cash += held.amount * price
        del holdings[symbol]
        ended.append(
            Fill(
                order="",
                instrument=symbol,
                side=SELL,
                shares=held.shares,
                amount=held.amount,
                price=price,
                value=held.amount * price,
                cost=0.0,
                shortfall=held.amount * (held.price - price),
                why=f"it has had no price since {held.priced}: ended at "
                f"{'its last price' if price else 'zero'}",
            )
        )
    return Account(cash, holdings), ended


def _days_without_price(priced: str, exchange: Exchange) -> int:
    """Return how many trading days up to this one have come since a day."""
    calendar = exchange.quotes.calendar
    return sum(
        priced < day.isoformat()
        for day in calendar[max(0, exchange.index - DELISTED_AFTER) : exchange.index + 1]
    )
