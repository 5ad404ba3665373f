"""The identity of an order, and its plan over the session in equal slices."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    Hours = Sequence[tuple[datetime, datetime]]

WHOLE: Final = 1e-6
"""Raw shares so close to a whole number are that number."""
LETTERS: Final = 20
"""Of the hash: 80 bits, so that no two orders of any book share an id."""


def without_rounding(shares: float) -> float:
    """Return raw shares, whole where they are so but for rounding."""
    return float(round(shares)) if abs(shares - round(shares)) < WHOLE else shares


def order_id(*, book: str, day: date, instrument: str, side: str, quantity: object, rules: str) -> str:
    """Return what names an order: the same decision by the same rules always gives the same id."""
    parts = [book, day.isoformat(), instrument, side, quantity, rules]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:LETTERS]


def slices_of(
    order: str, shares: float, unit: int | None, count: int, hours: Hours
) -> tuple[dict[str, Any], ...]:
    """Return the plan of an order: `count` slices at equal distances of trading time (TWAP).

    The first is at the opening. Each is of whole lots where there are lots, and the first slices have one
    more where they do not divide evenly. What is no whole lot, as after a split, goes with the last slice.
    Slices of nothing are left out.
    """
    if count <= 1:
        return ()
    return tuple(
        {
            "id": f"{order}-{number}",
            "time": f"{_moment(hours, number, count):%Y-%m-%dT%H:%M:%SZ}",
            "shares": size,
        }
        for number, size in enumerate(_sizes(shares, unit, count))
        if size > 0
    )


def _moment(hours: Hours, number: int, count: int) -> datetime:
    """Return when so many of all equal parts of the trading time are over; a break is none of it."""
    left = sum((closes - opens for opens, closes in hours), timedelta()) * number / count
    for opens, closes in hours:
        if left < closes - opens:
            return opens + left
        left -= closes - opens
    return hours[-1][1]


def _sizes(shares: float, unit: int | None, count: int) -> list[float]:
    if unit is None:
        sizes = [shares / count] * count
    else:
        lots, more = divmod(int((shares + 0.1) // unit), count)
        sizes = [float((lots + (number < more)) * unit) for number in range(count)]
    last = max((number for number, size in enumerate(sizes) if size > 0), default=0)
    rest = shares - sum(sizes[:last])
    return [*sizes[:last], rest, *sizes[last + 1 :]]
