"""What a trade on a day comes to: price, amount and cost, as Qlib's exchange has them.

It follows `Exchange` and `Position` in Qlib's `qlib/backtest/exchange.py` and `qlib/backtest/position.py`
(Copyright (c) Microsoft Corporation, MIT License; its text is in engine/kernels.py) in the order of their
operations, so that an account comes to the same money:

- an instrument without a close is suspended; a price that is missing or zero is replaced by the close;
- lots are of raw shares, rounded down after a tenth of a share is added;
- an order that changes the account by next to nothing is no trade and costs nothing;
- the impact cost is times the square of the order's share of the day's volume, and whole where that is not
  known; it counts the order before cash cuts it.

Slippage is not Qlib's: it makes the price worse.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.account import Account, Holding

if TYPE_CHECKING:
    from datetime import date

    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

BUY: Final = "buy"
SELL: Final = "sell"
NOTHING: Final = 1e-5
"""A trade of at most this value is none."""


def rounded(amount: float, factor: float, unit: int | None) -> float:
    """Return an amount of adjusted shares in whole lots of raw shares."""
    if unit is None or math.isnan(factor):
        return amount
    return (amount * factor + 0.1) // unit * unit / factor


def is_whole(amount: float, held: float) -> bool:
    """Return whether an amount is all that is held, within the tolerance of `numpy.isclose`."""
    return abs(amount - held) <= 1e-8 + 1e-5 * abs(held)


@dataclass(frozen=True)
class Dealt:
    """A trade: nothing where `why` says so and the amount is zero."""

    amount: float
    price: float
    cost: float
    why: str | None = None

    @property
    def value(self) -> float:
        """Return the money that was traded."""
        return self.amount * self.price


@dataclass(frozen=True)
class Exchange:
    """The trades that a day allows."""

    rules: Rules
    quotes: Quotes
    day: date
    index: int

    def why_closed(self, symbol: str, side: str) -> str | None:
        """Return why an instrument cannot be traded on this day, or None where it can."""
        if not self.quotes.get("close", symbol, self.index) > 0:
            return "it has no price on this day"
        costs = self.rules.costs
        if costs.limit_threshold is not None:
            change, most = self.quotes.get("change", symbol, self.index), _single(costs.limit_threshold)
            both = costs.forbid_all_at_limit
            if change >= most and (both or side == BUY):
                return "its price is at the upper limit"
            if change <= -most and (both or side == SELL):
                return "its price is at the lower limit"
        return None

    def price(self, symbol: str, side: str) -> float:
        """Return the price of a trade, with slippage; the instrument can be traded."""
        found = self.quotes.get(self.rules.fill_at, symbol, self.index)
        if not found > 1e-8:  # noqa: PLR2004 - Qlib's
            found = self.quotes.get("close", symbol, self.index)
        worse = self.rules.costs.slippage_bps / 10_000
        return found * (1 + worse if side == BUY else 1 - worse) if worse else found

    def lots(self, amount: float, symbol: str) -> float:
        """Return an amount in whole lots."""
        factor = self.quotes.get("factor", symbol, self.index)
        return rounded(amount, factor, self.rules.costs.trade_unit)

    def sell(self, account: Account, symbol: str, amount: float) -> Dealt:
        """Return the sale of an amount, or of all that is held where that is all."""
        price, held = self.price(symbol, SELL), account.holdings[symbol].amount
        ratio = self.rules.costs.close_cost + self._impact(symbol, amount, price)
        sold = amount if is_whole(amount, held) else self.lots(min(held, amount), symbol)
        least = self.rules.costs.min_cost
        if account.cash + sold * price < max(sold * price * ratio, least):
            return Dealt(0.0, price, 0.0, "its cost is above the cash and what the sale brings")
        return _dealt(sold, price, ratio, least, "it is less than a lot")

    def buy(self, account: Account, symbol: str, amount: float) -> Dealt:
        """Return the purchase of an amount, or of what the cash is enough for."""
        price, least, cash = self.price(symbol, BUY), self.rules.costs.min_cost, account.cash
        ratio = self.rules.costs.open_cost + self._impact(symbol, amount, price)
        value = amount * price
        if cash < max(value * ratio, least):
            return Dealt(0.0, price, 0.0, "the cash does not cover its cost")
        why = "it is less than a lot"
        if cash < value + max(value * ratio, least):
            amount, why = min(_affordable(price, cash, ratio, least), amount), "the cash is not enough"
        bought = _dealt(self.lots(amount, symbol), price, ratio, least, why)
        return replace(bought, why=why) if why == "the cash is not enough" else bought

    def _impact(self, symbol: str, amount: float, price: float) -> float:
        impact = self.rules.costs.impact_cost
        traded = self.quotes.get("volume", symbol, self.index) * price
        if not traded or math.isnan(traded):
            return impact
        return impact * (amount * price / traded) ** 2


def sold(account: Account, symbol: str, dealt: Dealt) -> Account:
    """Return the account after a sale."""
    held, amount = account.holdings[symbol], dealt.value / dealt.price
    holdings = dict(account.holdings)
    if is_whole(held.amount, amount):
        del holdings[symbol]
    else:
        holdings[symbol] = replace(held, amount=held.amount - amount)
    return Account(account.cash + (dealt.value - dealt.cost), holdings)


def bought(account: Account, symbol: str, dealt: Dealt, factor: float, day: date) -> Account:
    """Return the account after a purchase, at the end of the holdings if it is a new one."""
    amount, held = dealt.value / dealt.price, account.holdings.get(symbol)
    new = (
        Holding(amount, dealt.price, factor, day.isoformat())
        if held is None
        else replace(held, amount=held.amount + amount)
    )
    return Account(account.cash - (dealt.value + dealt.cost), {**account.holdings, symbol: new})


def _dealt(amount: float, price: float, ratio: float, least: float, why: str) -> Dealt:
    value = amount * price
    if value <= NOTHING:
        return Dealt(0.0, price, 0.0, why)
    return Dealt(amount, price, max(value * ratio, least))


def _affordable(price: float, cash: float, ratio: float, least: float) -> float:
    """Return the amount that cash is enough for, its cost included."""
    if cash < least:
        return 0.0
    if ratio > 0 and cash >= least / ratio + least:  # the cost is above the least one from here on
        return cash / (1 + ratio) / price
    return (cash - least) / price


def _single(value: float) -> float:
    """Return a limit as a number of single precision, in which changes of prices are compared with it."""
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found
