"""The models of all runs: who trained each, which runs used it, and how its live signals did.

Computed from the rows of runs and followup; nothing is kept beside them. Standard library only, because pages
and commands that list models must be quick.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.track_record import mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.catalog.run_columns import Row

JUDGED_OVER: Final = (1, 5, 20)
"""The days over which the followup judges signals: see returns.HORIZONS."""
FIELDS: Final = {
    "model": "text",
    "recipe_sha256": "text",
    "series": "text",
    "namespace": "text",
    "trained_through": "day",
    "data_end": "day",
    "age_days": "whole",
    "ic": "number",
    "live_ic": "number",
    "days_judged": "whole",
    "runs": "whole",
    "first_run": "text",
    "last_run": "text",
}
"""The columns of the view `models`, with the kind of each as for the columns of runs."""


@dataclass(frozen=True)
class LiveSignals:
    """The outcomes of the signals of each run's last day, over the days of the run's own label."""

    by_run: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, runs: Iterable[Row], followup: Iterable[Row]) -> LiveSignals:
        """Return the outcomes of these runs."""
        over = {run["run_id"]: judged_over(run) for run in runs}
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in followup:
            if row["live"] and row["horizon"] == over.get(row["run_id"]):
                found[row["run_id"]].append(row)
        return cls(found)

    def by_day(self, runs: Iterable[Row]) -> dict[date, float]:
        """Return the IC of each judged day of these runs, the oldest first; runs of one day are averaged."""
        return ic_by_day(row for run in runs for row in self.by_run.get(run["run_id"], ()))


def ic_by_day(rows: Iterable[Row]) -> dict[date, float]:
    """Return the mean IC of each day, the oldest first; any program may have written these outcomes."""
    days: defaultdict[date, list[float]] = defaultdict(list)
    for row in rows:
        if row["date"] is not None and row["ic"] is not None and isfinite(row["ic"]):
            days[row["date"]].append(max(-1.0, min(1.0, row["ic"])))
    return {day: fmean(days[day]) for day in sorted(days)}


def judged_over(run: Row) -> int | None:
    """Return over how many days a run's signals are judged: its label's, or None where none are so long."""
    asked: int = run["label_horizon_days"] or JUDGED_OVER[0]
    return asked if asked in JUDGED_OVER else None


@dataclass(frozen=True)
class ModelUse:
    """A model, and the runs of one series that used it, newest first."""

    model: str
    """The run that trained it."""
    runs: Sequence[Row]
    ic: float | None
    """What the run that trained it has measured on its test, or what later runs say of it; else None."""
    live: Mapping[date, float]

    @property
    def live_ic(self) -> float | None:
        """Return the mean IC of the live signals of the runs that used it."""
        return mean(self.live.values())

    @property
    def data_end(self) -> date | None:
        """Return the last day of the data with which it was trained."""
        found: date | None = self._newest("model_data_end")
        return found

    @property
    def trained_through(self) -> date | None:
        """Return the last day from which it has learnt."""
        found: date | None = self._newest("model_trained_through")
        return found

    def row(self) -> Row:
        """Return its row of the view `models`."""
        newest, oldest = self.runs[0], self.runs[-1]
        return {
            "model": self.model,
            **{name: newest[name] for name in ("recipe_sha256", "series", "namespace")},
            "trained_through": self.trained_through,
            "data_end": self.data_end,
            "age_days": newest["model_age_days"],
            "ic": self.ic,
            "live_ic": self.live_ic,
            "days_judged": len(self.live),
            "runs": len(self.runs),
            "first_run": oldest["run_id"],
            "last_run": newest["run_id"],
        }

    def _newest(self, name: str) -> date | None:
        return next((run[name] for run in self.runs if run[name] is not None), None)


def models_of(
    runs: Sequence[Row], live: LiveSignals, everyone: Mapping[str, Row] | None = None
) -> list[ModelUse]:
    """Return the models of these runs, which are sorted newest first; the one used last comes first.

    A model that runs of several series say they have is one for each of them. `everyone` are all runs by id,
    where a model may be of a run that is none of these.
    """
    uses: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for run in runs:
        if run["trained"] and run["model_trained_by"]:
            uses[
                *(run[name] for name in ("model_trained_by", "recipe_sha256", "series", "namespace")),
            ].append(run)
    by_id = {run["run_id"]: run for run in runs} if everyone is None else everyone
    return [_use(str(key[0]), used, by_id, live) for key, used in uses.items()]


def _use(model: str, used: Sequence[Row], by_id: Mapping[str, Row], live: LiveSignals) -> ModelUse:
    author = by_id.get(model)
    ic = author["ic"] if author is not None and author["model_trained_by"] == model else None
    if ic is None:
        ic = next((run["promised_ic"] for run in used if run["promised_ic"] is not None), None)
    return ModelUse(model, used, ic, live.by_day(used))
