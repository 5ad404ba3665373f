"""Periods of time as a manifest writes them: 250d, 6m, 8y."""

# Place.refuse returns None, and the read methods return its result.
# mypy: disable-error-code="func-returns-value"
from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.kinds import Kind, shown

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.place import Place

PATTERN: Final = r"[1-9][0-9]{0,3}[dmy]"
MUST: Final = "must be trading days, months or years such as 250d, 6m or 8y"
MONTHS: Final = 12


@dataclass(frozen=True)
class Period:
    """A number of trading days (d), months (m) or years (y)."""

    number: int
    unit: str

    def __str__(self) -> str:
        return f"{self.number}{self.unit}"

    @property
    def months(self) -> int | None:
        """Return the period in months; None where it is in trading days."""
        return None if self.unit == "d" else self.number * (MONTHS if self.unit == "y" else 1)


class PeriodKind(Kind[Period]):
    """A period, written as a number and its unit."""

    def read(self, value: object, place: Place) -> Period | None:
        """Return the period."""
        if not isinstance(value, str) or not re.fullmatch(PATTERN, value):
            return place.refuse(f"{MUST}, not {shown(value)}")
        return Period(int(value[:-1]), value[-1])


def months_before(day: date, months: int) -> date:
    """Return the day some months earlier: the same day of its month, or the month's last one."""
    month = day.year * MONTHS + day.month - 1 - months
    if month < MONTHS:  # before the year 1
        return date.min
    year, number = divmod(month, MONTHS)
    return date(year, number + 1, min(day.day, monthrange(year, number + 1)[1]))
