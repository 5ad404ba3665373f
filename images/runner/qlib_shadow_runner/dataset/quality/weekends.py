"""Find Saturdays and Sundays in a calendar, which a time zone may have made of Mondays."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

SATURDAY: Final = 5
EVERY_DAY: Final = 7
SHARE: Final = 0.1
"""The least share of each day of the week in the calendar of a market that trades on all of them."""


def weekend_days(days: Sequence[date]) -> list[date]:
    """Return the days that are no weekdays; none where the market trades on every day of the week."""
    counts = Counter(day.weekday() for day in days)
    if len(counts) == EVERY_DAY and min(counts.values()) > SHARE * len(days):
        return []
    return [day for day in days if day.weekday() >= SATURDAY]
