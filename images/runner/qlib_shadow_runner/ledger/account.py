"""The paper account: cash and holdings at the end of a day, and the orders that would change them.

An amount is in adjusted shares, as in the dataset: amount times adjusted price is money, over splits and
dividends as well. Raw shares are amount times factor; lots are of raw shares. A dataset without factors has
factor 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Holding:
    """One instrument in the account, at its last price."""

    amount: float
    price: float
    """The last adjusted close that there was."""
    factor: float
    priced: str
    """The day of that price, as an ISO date."""
    days: int = 0
    """For how many trading days it has been held."""

    @property
    def value(self) -> float:
        """Return what it is worth."""
        return self.amount * self.price

    @property
    def shares(self) -> float:
        """Return the raw shares."""
        return self.amount * self.factor


@dataclass(frozen=True)
class Account:
    """Cash and holdings; the order of the holdings is that of their purchase, and sums follow it."""

    cash: float
    holdings: Mapping[str, Holding] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """Return the account's value (NAV): Qlib's sum, the holdings first in their order, then cash.

        The sum is taken step by step: Python's own rounds otherwise from version 3.12 on.
        """
        value = 0.0
        for one in self.holdings.values():
            value += one.value
        return value + self.cash

    def document(self) -> dict[str, Any]:
        """Return the account as an entry records it."""
        nav = self.value
        return {
            "cash": self.cash,
            "nav": nav,
            "positions": [
                {
                    "instrument": name,
                    "amount": one.amount,
                    "shares": one.shares,
                    "price": one.price,
                    "factor": one.factor,
                    "priced": one.priced,
                    "days": one.days,
                    "weight": one.value / nav if nav else 0.0,
                }
                for name, one in self.holdings.items()
            ],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return a recorded account; raises TypeError, KeyError or ValueError where it is none."""
        keys = ("amount", "price", "factor", "priced", "days")
        return cls(
            cash=document["cash"],
            holdings={
                one["instrument"]: Holding(**{key: one[key] for key in keys}) for one in document["positions"]
            },
        )


@dataclass(frozen=True)
class Order:
    """What would be bought or sold on the next trading day: a record, never sent anywhere."""

    instrument: str
    side: str
    """buy or sell."""
    shares: float
    """Raw shares; of a purchase that is sized on its day, an estimate at the price of the decision."""
    amount: float
    """The same in adjusted shares."""
    price: float
    """The adjusted close of the day of the decision, against which shortfall is measured."""
    money_share: float | None = None
    """The share of the cash after the day's sales that a purchase takes, where it is sized on its day."""
    priced: str = ""
    """The day of that price, as an ISO date: that of the decision, or the last one before with a price."""
    id: str = ""
    slices: tuple[Mapping[str, Any], ...] = ()
    """The plan over the session: id, time and shares of each slice; empty where there is one alone."""

    def document(self) -> dict[str, Any]:
        """Return the order as a decision records it."""
        return {**vars(self), "slices": [dict(one) for one in self.slices]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return a recorded order; raises TypeError, KeyError or ValueError where it is none."""
        return cls(**{**document, "slices": tuple(document["slices"])})


@dataclass(frozen=True)
class Fill:
    """What an order would have come to on its day."""

    order: str
    """The order's id."""
    instrument: str
    side: str
    shares: float
    amount: float
    price: float
    """The adjusted price, with slippage."""
    value: float
    cost: float
    shortfall: float
    """The money lost against the price of the decision: cost, and what the price has moved against it."""
    why: str | None = None
    """Why nothing, or less than the order, was filled."""

    def document(self) -> dict[str, Any]:
        """Return the fill as an entry records it."""
        return dict(vars(self))
