"""The facts as JSON documents, for `qlib-shadow snapshot --json` and `qlib-shadow trend --json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from qlib_shadow_runner.nights.books import NO_BOOKS
from qlib_shadow_runner.nights.needs import needs_of
from qlib_shadow_runner.nights.trend import weeks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.nights.books import Books
    from qlib_shadow_runner.nights.morning import Morning, NightsOfSeries


def snapshot_document(morning: Morning, books: Books = NO_BOOKS) -> dict[str, object]:
    """Return the day: what needs a person, then each series and each book."""
    return {
        "at": f"{morning.now:%Y-%m-%dT%H:%M:%SZ}",
        "lastNight": morning.counts(),
        "needs": [
            {"kind": one.kind, "series": one.series, "runId": one.run_id, "sentence": one.sentence}
            for one in needs_of(morning)
        ],
        "bookNeeds": [
            {"kind": one.kind, "book": one.book, "runId": one.run_id, "sentence": one.sentence}
            for one in books.needs()
        ],
        "series": [series_document(one) for one in morning.awake],
        "ended": [one.series.title for one in morning.resting],
        "books": [one.document() for one in books.awake],
        "endedBooks": [one.book for one in books.resting],
    }


def series_document(nights: NightsOfSeries) -> dict[str, object]:
    """Return the last night of one series."""
    run, model = nights.last, nights.model
    whole = nights.last_whole or {}
    return {
        "series": nights.series.name,
        "namespace": nights.series.namespace,
        "runId": run["run_id"],
        "status": run["status"],
        "reason": run["reason"],
        "startedAt": None if run["started_at"] is None else f"{run['started_at']:%Y-%m-%dT%H:%M:%SZ}",
        "dataEnd": nights.data_end,
        "dataAgeWeekdays": nights.data_age,
        "modelTrainedBy": model.model if model else None,
        "modelTrainedThrough": model.trained_through if model else None,
        "modelAgeDays": whole.get("model_age_days"),
        "modelKept": whole.get("model_kept"),
        "live": whole.get("live"),
        "liveModelTrainedThrough": whole.get("live_model_trained_through"),
        "ic": whole.get("ic"),
        "liveIc": nights.live_ic,
        "liveDays": len(nights.recent_live),
        "drift": whole.get("drift"),
        "decay": whole.get("decay"),
    }


def trend_document(
    series: Sequence[NightsOfSeries], weeks: int, books: Books = NO_BOOKS
) -> list[dict[str, object]]:
    """Return the last weeks of each series, and of each book."""
    found: list[dict[str, object]] = [
        {
            "series": one.series.name,
            "namespace": one.series.namespace,
            "weeks": [_camel(asdict(week)) for week in weeks_of(one, weeks)],
        }
        for one in series
    ]
    return found + [
        {"book": one.book, "namespace": one.namespace, "weeks": [week.document() for week in of_book]}
        for one, of_book in books.weeks(weeks)
    ]


def _camel(values: dict[str, object]) -> dict[str, object]:
    names = {"live_ic": "liveIc", "days_judged": "daysJudged", "turnover_drift": "turnoverDrift"}
    return {names.get(name, name): value for name, value in values.items()}
