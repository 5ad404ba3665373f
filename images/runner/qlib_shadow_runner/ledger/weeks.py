"""The last weeks of a book: return, costs and decisions, week by week."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.entries import Decision
from qlib_shadow_runner.ledger.record import compounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.ledger.overview import Overview

WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class BookWeek:
    """One week of a book, from Monday to Sunday."""

    monday: date
    days: int
    """Its reconciled trading days."""
    total: float | None
    """The return over them."""
    benchmark: float | None
    """That of the benchmark; None where it is not known for each of them."""
    pnl: float
    costs: float
    turnover: float | None
    """The mean share of the account that was traded on a day."""
    decided: int
    held: int
    reducing: int
    late: int
    missed: int
    nav: float | None
    """At its end; None where no day of it is reconciled."""

    def document(self) -> dict[str, Any]:
        """Return the week as JSON."""
        more = {name: value for name, value in vars(self).items() if name not in ("monday", "total")}
        return {"week": f"{self.monday}", "return": self.total, **more}


def last_monday(overview: Overview) -> date | None:
    """Return the Monday of the week in which a book's last day lies; None where it has none."""
    last = max((day for day in (overview.decided, overview.reconciled) if day), default=None)
    return None if last is None else _monday_of(date.fromisoformat(last))


def weeks_of(overview: Overview, count: int, newest: date | None = None) -> Sequence[BookWeek]:
    """Return so many weeks up to that of a Monday, else up to the book's last day; the newest first."""
    monday = newest or last_monday(overview)
    return [] if monday is None else [_week(overview, monday - number * WEEK) for number in range(count)]


def _week(overview: Overview, monday: date) -> BookWeek:
    first, end = f"{monday}", f"{monday + WEEK}"
    days = [day for day in overview.days if first <= day.day < end]
    known = [day.benchmark for day in days if day.benchmark is not None]
    decisions = [what for day, what in overview.decisions.items() if first <= day < end]
    return BookWeek(
        monday=monday,
        days=len(days),
        total=compounded([day.day_return for day in days]),
        benchmark=compounded(known) if len(known) == len(days) else None,
        pnl=math.fsum(day.pnl for day in days),
        costs=math.fsum(day.costs for day in days),
        turnover=fmean(day.turnover for day in days) if days else None,
        decided=decisions.count(Decision.DECIDED),
        held=decisions.count(Decision.HELD),
        reducing=decisions.count(Decision.REDUCING),
        late=_within(overview.late_days, first, end),
        missed=_within(overview.missed_days, first, end),
        nav=days[-1].nav if days else None,
    )


def _within(days: Iterable[str], first: str, end: str) -> int:
    return sum(first <= day < end for day in days)


def _monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())
