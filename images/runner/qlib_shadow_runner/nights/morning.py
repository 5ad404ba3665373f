"""The facts of a morning: each series with its last nights, its model, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.catalog.model_uses import LiveSignals, ModelUse, models_of
from qlib_shadow_runner.nights.series import NIGHT, all_series, known_start
from qlib_shadow_runner.runs.listing import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.nights.series import Series

LIVE_DAYS: Final = 20
"""The live IC of a series is of so many judged days at the end: about a month."""
RESTING: Final = timedelta(days=28)
"""A series without a run for longer, and for twice its usual distance, has ended, and needs no person."""
SATURDAY: Final = 5
MADE_UP: Final = "synthetic"
"""The source of data whose age says nothing."""


@dataclass(frozen=True)
class NightsOfSeries:
    """What is known of one series."""

    series: Series
    live: Mapping[date, float]
    """The IC of each day of live signals, the oldest first."""
    models: Sequence[ModelUse]
    """The models of its runs, the one used last first."""
    now: datetime

    @property
    def runs(self) -> Sequence[Row]:
        """Return its runs, newest first."""
        return self.series.runs

    @property
    def last(self) -> Row:
        """Return the newest run."""
        return self.runs[0]

    @property
    def last_ended(self) -> Row | None:
        """Return the newest run that is not in progress."""
        return next((run for run in self.runs if run["status"] in ENDED), None)

    @property
    def last_whole(self) -> Row | None:
        """Return the newest run that has signals."""
        return next((run for run in self.runs if run["trained"]), None)

    @property
    def rests(self) -> bool:
        """Return whether there was no run for so long that none is expected."""
        last = next((start for run in self.runs if (start := known_start(run, self.now))), None)
        return last is None or self.now - last > max(RESTING, timedelta(days=2 * self.series.days_between))

    @property
    def data_end(self) -> date | None:
        """Return the last day of the data of the newest run that has read data."""
        found: date | None = self._last_read["universe_end"] if self._last_read else None
        return found

    @property
    def _last_read(self) -> Row | None:
        return next((run for run in self.runs if run["universe_end"]), None)

    @property
    def data_age(self) -> int | None:
        """Return how many weekdays have passed since then; None for data that is made up."""
        read = self._last_read
        if read is None or self.data_end is None or str(read["dataset_source"]).startswith(MADE_UP):
            return None
        return weekdays_between(self.data_end, self.now.date())

    @property
    def model(self) -> ModelUse | None:
        """Return the model of the newest run that has signals."""
        whole = self.last_whole
        if whole is None:
            return None
        return next((one for one in self.models if one.runs[0]["run_id"] == whole["run_id"]), None)

    @property
    def recent_live(self) -> Sequence[float]:
        """Return the IC of the last days of live signals that are judged."""
        return list(self.live.values())[-LIVE_DAYS:]

    @property
    def live_ic(self) -> float | None:
        """Return their mean."""
        return fmean(self.recent_live) if self.recent_live else None


@dataclass(frozen=True)
class Morning:
    """What is known of all series at one time."""

    now: datetime
    series: Sequence[NightsOfSeries]
    last_night: Sequence[Row]
    """The runs that began within the last day, newest first."""

    @classmethod
    def of(cls, runs: Sequence[Row], followup: Iterable[Row], now: datetime) -> Self:
        """Return the facts from the catalog's rows, of which those of runs are sorted newest first."""
        live = LiveSignals.of(runs, followup)
        found, everyone = all_series(runs), {run["run_id"]: run for run in runs}
        series = [
            NightsOfSeries(one, live.by_day(one.runs), models_of(one.runs, live, everyone), now)
            for one in found
        ]
        ours = {run["run_id"] for one in found for run in one.runs}
        return cls(now, series, [run for run in runs if run["run_id"] in ours and _is_recent(run, now)])

    @property
    def awake(self) -> list[NightsOfSeries]:
        """Return the series of which another run may come: those that name their series first."""
        return sorted((one for one in self.series if not one.rests), key=lambda one: not one.series.is_named)

    @property
    def resting(self) -> list[NightsOfSeries]:
        """Return the others."""
        return [one for one in self.series if one.rests]

    def counts(self) -> dict[str, int]:
        """Return how many of the last night's runs have each status."""
        statuses = sorted({str(run["status"]) for run in self.last_night})
        return {name: sum(run["status"] == name for run in self.last_night) for name in statuses}


def has_trained(run: Row) -> bool:
    """Return whether a run has signals of a model that it has trained itself."""
    return bool(run["trained"]) and run["model_trained_by"] == run["run_id"]


def weekdays_between(first: date, last: date) -> int:
    """Return how many days after the first, to the last, are no Saturday or Sunday."""
    days = max(0, (last - first).days)
    weeks, rest = divmod(days, 7)
    return weeks * SATURDAY + sum((last - timedelta(days=back)).weekday() < SATURDAY for back in range(rest))


def _is_recent(run: Row, now: datetime) -> bool:
    start = known_start(run, now)
    return start is not None and now - start <= NIGHT
