"""The track record: the returns after each dataset's last day by its signals, day by day, for a chart.

Only `live` signals count. A day with the signals of several runs counts once, with their mean.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.chance import Chance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from qlib_shadow_runner.catalog.run_columns import Row


@dataclass(frozen=True)
class TrackRecordDay:
    """One day's signals and their outcome."""

    day: date
    known_on: date
    runs: int
    ic: float | None
    rank_ic: float | None
    top_return: float | None
    all_return: float | None
    cumulative_ic: float
    """The sum of the IC until this day; a day without an IC adds nothing."""


@dataclass(frozen=True)
class TrackRecord:
    """The days of one dataset and one horizon; the data of one feed, since several may share a path."""

    dataset_path: str
    feed: str
    horizon: int
    days: Sequence[TrackRecordDay]

    @property
    def ic(self) -> float | None:
        """Return the mean IC."""
        return mean(day.ic for day in self.days)

    @property
    def chance(self) -> Chance | None:
        """Return the mean IC held against chance, or None if no day has one."""
        known = [day for day in self.days if day.ic is not None]
        return Chance.of([day.ic for day in known if day.ic is not None], _overlap(known))

    @property
    def rank_ic(self) -> float | None:
        """Return the mean rank IC."""
        return mean(day.rank_ic for day in self.days)

    @property
    def positive(self) -> float | None:
        """Return the share of days with an IC above 0."""
        return mean(None if day.ic is None else float(day.ic > 0) for day in self.days)

    @property
    def top_return(self) -> float | None:
        """Return the mean return of the best instruments."""
        return mean(day.top_return for day in self.days)

    @property
    def all_return(self) -> float | None:
        """Return the mean return of all instruments."""
        return mean(day.all_return for day in self.days)


def records(rows: Iterable[Row]) -> list[TrackRecord]:
    """Return the track records of the followup's rows."""
    live = sorted((row for row in rows if row["live"]), key=lambda row: (*_record(row), row["date"]))
    return [
        TrackRecord(path, feed, horizon, _days(list(group)))
        for (path, feed, horizon), group in groupby(live, _record)
    ]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that exist, or None."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _overlap(days: Sequence[TrackRecordDay]) -> int:
    """Return how many outcomes in a row overlap: the horizon, or less where not every day has signals.

    A signal's outcome begins a day after it, with the next close.
    """
    dates = [day.day for day in days]
    before_known = (bisect_left(dates, day.known_on) - place for place, day in enumerate(days))
    return max(1, max(before_known, default=1) - 1)


def _record(row: Row) -> tuple[str, str, int]:
    return row["dataset_path"], row["dataset_feed"] or "", row["horizon"]


def _days(rows: Sequence[Row]) -> list[TrackRecordDay]:
    days: list[TrackRecordDay] = []
    total = 0.0
    for day, group in groupby(rows, lambda row: row["date"]):
        same = list(group)
        figures = {
            name: mean(row[name] for row in same) for name in ("ic", "rank_ic", "top_return", "all_return")
        }
        total += figures["ic"] or 0.0
        known_on = max(row["known_on"] for row in same)
        days.append(TrackRecordDay(day, known_on, len(same), **figures, cumulative_ic=total))
    return days
