"""Rows of the catalog for nights that were never run."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.catalog.run_columns import COLUMNS
from qlib_shadow_runner.nights.morning import Morning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.catalog.run_columns import Row

RECIPE: Final = "5" * 64
FRIDAY: Final = datetime(2026, 11, 20, 22)  # noqa: DTZ001 - as the catalog has times
"""When the newest night of `nights` began."""
MORNING: Final = FRIDAY + timedelta(hours=10)


def night(started: datetime, **values: Any) -> Row:
    """Return a complete run that began then, on data to that day, with its own model."""
    run_id = f"us-{started:%Y%m%d}"
    row: Row = {column.name: None for column in COLUMNS}
    row |= {
        "run_id": run_id,
        "name": run_id,
        "namespace": "research",
        "status": "complete",
        "started_at": started,
        "universe_end": started.date(),
        "series": "us",
        "recipe_sha256": RECIPE,
        "model_trained_by": run_id,
        "model_kept": False,
        "model_trained_through": date(2022, 1, 3),
        "model_data_end": started.date(),
        "model_age_days": 0,
        "ic": 0.04,
    }
    row |= values
    return {**row, "trained": values.get("trained", row["status"] in ("complete", "not-golden"))}


def nights(count: int, last: datetime = FRIDAY, **values: Any) -> list[Row]:
    """Return so many nights of weekdays, newest first; all but the first keep the first one's model."""
    days: list[datetime] = []
    while len(days) < count:
        days += [last] if last.weekday() < 5 else []
        last -= timedelta(days=1)
    first = f"us-{days[-1]:%Y%m%d}"
    ages = range(count - 1, -1, -1)
    return [
        night(day, model_trained_by=first, model_kept=age > 0, model_age_days=age, **values)
        for day, age in zip(days, ages, strict=True)
    ]


def outcome(run: Row, ic: float | None, horizon: int = 1, **values: Any) -> Row:
    """Return how the signals of a run's last day did."""
    row: Row = {
        "run_id": run["run_id"],
        "date": run["universe_end"],
        "horizon": horizon,
        "live": True,
        "ic": ic,
    }
    return row | values


def morning(runs: Sequence[Row], followup: Sequence[Row] = (), now: datetime = MORNING) -> Morning:
    """Return the facts of these rows."""
    return Morning.of(runs, followup, now)
