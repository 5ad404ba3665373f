"""What the simulated portfolio holds at the end of each day, and what it traded from one day to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Holding(NamedTuple):
    """One instrument at the end of a day."""

    price: float
    """Of the last day that had one."""
    weight: float
    """Its share of the account."""
    amount: float = math.nan
    """Its shares, adjusted as the dataset's prices are; NaN where Qlib did not record them."""


if TYPE_CHECKING:
    Held = Mapping[str, Holding]
    Positions = Sequence[tuple[datetime, Held]]


@dataclass(frozen=True)
class Trade:
    """What was bought or sold of one instrument on one day."""

    day: datetime
    instrument: str
    amount: float
    """Shares, negative for a sale."""
    before: float
    """The share of the account before, at the end of the day before."""
    after: float


@dataclass(frozen=True)
class LastDay:
    """The holdings at the end of the last day, the largest first, and the trades of the last day with any."""

    day: datetime
    held: list[tuple[str, Holding]]
    trades: list[Trade]
    """Purchases first, the largest first."""

    @classmethod
    def of(cls, positions: Positions | None, trades: Sequence[Trade] | None) -> LastDay | None:
        """Return them, or None if there is no position."""
        if not positions:
            return None
        day, held = positions[-1]
        last = [trade for trade in trades or () if trade.day == trades[-1].day] if trades else []
        return cls(
            day,
            sorted(held.items(), key=lambda pair: (-pair[1].weight, pair[0])),
            sorted(last, key=lambda one: (one.amount < 0, -abs(one.after - one.before), one.instrument)),
        )


def trades_of(positions: Positions | None) -> list[Trade] | None:
    """Return every trade, day by day, from the changes of the amounts; None where amounts are not known."""
    if not positions or any(math.isnan(one.amount) for _, held in positions for one in held.values()):
        return None
    nothing = Holding(math.nan, 0.0, 0.0)
    found: list[Trade] = []
    before: Held = {}
    for day, held in positions:
        for name in sorted({*before, *held}):
            old, new = before.get(name, nothing), held.get(name, nothing)
            if new.amount != old.amount:
                found.append(Trade(day, name, new.amount - old.amount, old.weight, new.weight))
        before = held
    return found
