"""The track record: what the signals of each data's last day were worth, day after day, for a chart.

Only `live` signals count. Where several runs judged the same day, the day counts once, with their mean.
Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from qlib_shadow_runner.catalog.run_columns import Row


@dataclass(frozen=True)
class TrackRecordDay:
    """One day's signals, and what became of them."""

    day: date
    known_on: date
    runs: int
    ic: float | None
    rank_ic: float | None
    top_return: float | None
    all_return: float | None
    cumulative_ic: float
    """Of this day and those before it; a day without an IC adds nothing."""


@dataclass(frozen=True)
class TrackRecord:
    """All such days of one dataset, over one horizon."""

    dataset_path: str
    horizon: int
    days: Sequence[TrackRecordDay]

    @property
    def ic(self) -> float | None:
        """Give the mean IC."""
        return mean(day.ic for day in self.days)

    @property
    def rank_ic(self) -> float | None:
        """Give the mean rank IC."""
        return mean(day.rank_ic for day in self.days)

    @property
    def positive(self) -> float | None:
        """Give the share of days on which the IC was above 0."""
        return mean(None if day.ic is None else float(day.ic > 0) for day in self.days)

    @property
    def top_return(self) -> float | None:
        """Give the mean return of the best."""
        return mean(day.top_return for day in self.days)

    @property
    def all_return(self) -> float | None:
        """Give the mean return of all."""
        return mean(day.all_return for day in self.days)


def records(rows: Iterable[Row]) -> list[TrackRecord]:
    """Sum up the rows of the followup."""
    live = sorted((row for row in rows if row["live"]), key=lambda row: (*_record(row), row["date"]))
    return [
        TrackRecord(path, horizon, _days(list(group))) for (path, horizon), group in groupby(live, _record)
    ]


def mean(values: Iterable[float | None]) -> float | None:
    """Take the mean of what is there."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _record(row: Row) -> tuple[str, int]:
    return row["dataset_path"], row["horizon"]


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
