"""The last weeks of a series: runs, failures, retrainings, live IC and turnover, week by week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.track_record import mean
from qlib_shadow_runner.nights.morning import has_trained
from qlib_shadow_runner.nights.needs import BAD, DRIFTING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from qlib_shadow_runner.nights.morning import NightsOfSeries

WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class Week:
    """One week of a series, from Monday to Sunday in UTC."""

    monday: date
    runs: int
    failures: int
    trained: int
    """How many runs trained; the others kept a model, or have none."""
    live_ic: float | None
    """The mean IC of the live signals of the week's days."""
    days_judged: int
    drifting: int
    """How many runs found that features, scores or turnover have moved away from the model's."""
    turnover_drift: float | None
    """How far the turnover has moved, in units of its own past: the mean over the runs that say it."""


def weeks_of(nights: NightsOfSeries, count: int) -> Sequence[Week]:
    """Return the last weeks of a series, the newest first; this week is one of them."""
    monday = monday_of(nights.now.date())
    return [_week(nights, monday - number * WEEK) for number in range(count)]


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def _week(nights: NightsOfSeries, monday: date) -> Week:
    runs = [run for run in nights.runs if _is_within(run["started_at"], monday)]
    live = [ic for day, ic in nights.live.items() if monday <= day < monday + WEEK]
    return Week(
        monday=monday,
        runs=len(runs),
        failures=sum(run["status"] in BAD for run in runs),
        trained=sum(map(has_trained, runs)),
        live_ic=mean(live),
        days_judged=len(live),
        drifting=sum(run["drift"] == DRIFTING for run in runs),
        turnover_drift=mean(run["drift_turnover"] for run in runs if run["trained"]),
    )


def _is_within(moment: datetime | None, monday: date) -> bool:
    return moment is not None and monday <= moment.date() < monday + WEEK
