"""Restated prices: what is held keeps its value when a newer dataset gives another price for a past day.

A dataset is often adjusted backward: a split or dividend changes every earlier price. A holding knows the
adjusted close of the last day on which it was valued. Where the dataset now has another one for that day, its
amount is multiplied by the old price by the new one. With factors, raw shares stay what they were; where
they do not, raw prices were restated as well, or a dataset without factors was adjusted for a split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.ledger.account import Account, Holding, Order
    from qlib_shadow_runner.ledger.quotes import Quotes

WORTH_A_NOTE: Final = 1e-6
"""Prices have single precision: smaller changes are those of its last digit. They are followed, not noted."""


@dataclass(frozen=True)
class Rebased:
    """The account at the prices that the dataset has now."""

    account: Account
    adjusted: tuple[Mapping[str, Any], ...]
    """instrument, day, ratio (new price by old) and raw: whether raw prices changed, None without factors."""
    notes: tuple[str, ...]


def at_restated_prices(account: Account, quotes: Quotes) -> Rebased:
    """Return the account at the dataset's prices of the days on which its holdings were valued."""
    holdings, adjusted, notes = dict(account.holdings), [], []
    for symbol, held in account.holdings.items():
        close = _close(quotes, symbol, held.priced)
        if close is None:
            notes.append(
                f"{symbol}: the dataset has no close of {held.priced} any more; it stays at the price it had."
            )
        elif close != held.price and held.price > 0:
            holdings[symbol], raw = _rebased(held, close, symbol, quotes)
            ratio = close / held.price
            if abs(ratio - 1) > WORTH_A_NOTE:
                adjusted.append({"instrument": symbol, "day": held.priced, "ratio": ratio, "raw": raw})
    return Rebased(replace(account, holdings=holdings), tuple(adjusted), tuple(notes))


def order_at_restated_price(order: Order, quotes: Quotes) -> Order:
    """Return an order at the price that the dataset now has for the day of its decision."""
    close = _close(quotes, order.instrument, order.priced) if order.priced else None
    if close is None or close == order.price or not order.price > 0:
        return order
    amount = order.amount * (order.price / close)
    factor = quotes.factor(order.instrument, quotes.index(date.fromisoformat(order.priced)))
    return replace(order, amount=amount, shares=amount * factor, price=close)


def _rebased(held: Holding, close: float, symbol: str, quotes: Quotes) -> tuple[Holding, bool | None]:
    day = quotes.index(date.fromisoformat(held.priced))
    factor = quotes.factor(symbol, day)
    found = replace(held, amount=held.amount * (held.price / close), price=close, factor=factor)
    if not quotes.get("factor", symbol, day) > 0:
        return found, None
    return found, abs(found.shares / held.shares - 1) > WORTH_A_NOTE


def _close(quotes: Quotes, symbol: str, day: str) -> float | None:
    """Return the close of a day, or None where the dataset has none."""
    found = date.fromisoformat(day)
    close = quotes.get("close", symbol, quotes.index(found)) if quotes.has(found) else 0.0
    return close if close > 0 else None
