"""What became of signals whose outcome their run could not know: computed when newer data has come.

A run knows the outcome of its older signals and has reported on them. The last ones, made when their future
was not in the data, are the only honest test, and they are judged here: by day and horizon, once, by the
first data that holds the outcome. What has been judged stays, also when the run's folder is removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset

from qlib_shadow_runner.catalog.returns import HORIZONS, Closes
from qlib_shadow_runner.catalog.signals_table import is_whole, signal_file, signals_of
from qlib_shadow_runner.catalog.tables import catalog_folder, read_arrow, read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

FILE: Final = "followup.parquet"
SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("dataset_path", pa.string()),
        ("date", pa.date32()),
        ("horizon", pa.int64()),
        ("live", pa.bool_()),
        ("known_on", pa.date32()),
        ("instruments", pa.int64()),
        ("ic", pa.float64()),
        ("rank_ic", pa.float64()),
        ("topk", pa.int64()),
        ("top_return", pa.float64()),
        ("all_return", pa.float64()),
        ("signals_sha256", pa.string()),
        ("dataset_fingerprint", pa.string()),
    ]
)
TOP: Final = 20
"""How many are the best where the run's strategy does not say."""
MARGIN: Final = timedelta(days=90)
"""Closes are read from so long before a run's last day: more than the longest horizon, holidays included."""
FEW: Final = 2
"""Fewer pairs than this have no correlation."""


@dataclass(frozen=True)
class DueOutcome:
    """One day of one run's signals over one horizon, whose outcome has become known."""

    day: date
    horizon: int
    place: int
    """The day's place among the closes."""


def followup_file(volume: Volume) -> Path:
    """Say where the table lies."""
    return catalog_folder(volume) / FILE


def read_followup(volume: Volume) -> list[Row]:
    """Read what has been judged so far."""
    return read_table(followup_file(volume), SCHEMA)


def read_live(path: Path) -> pa.Table:
    """Read what has been judged of signals of the last day that a run had data for."""
    return read_arrow(path, SCHEMA).filter(pc.field("live"))


def rows_of(table: pa.Table, run_id: str) -> list[Row]:
    """Give the rows of one run."""
    found: list[Row] = table.filter(pc.field("run_id") == run_id).to_pylist()
    return found


def refresh_followup(volume: Volume, runs: Sequence[Row], limit: int | None = None) -> list[Row]:
    """Judge what has become known, of the newest runs first; the caller holds the lock."""
    before = read_followup(volume)
    after = follow_up(volume, runs, before, limit)
    if after != before:
        write_table(followup_file(volume), after, SCHEMA)
    return after


def follow_up(
    volume: Volume, runs: Sequence[Row], before: Sequence[Row], limit: int | None = None
) -> list[Row]:
    """Give the rows that are there and still of the same signals, and the new ones."""
    hashes = {run["run_id"]: run["signals_sha256"] for run in runs}
    kept = [
        row for row in before if hashes.get(row["run_id"], row["signals_sha256"]) == row["signals_sha256"]
    ]
    judged = {(row["run_id"], row["date"], row["horizon"]) for row in kept}
    found: list[Row] = []
    for run, closes, due in _pending(volume, runs, judged, limit):
        found += _score(volume, run, closes, due)
    return sorted([*kept, *found], key=lambda row: (row["date"], row["run_id"], row["horizon"]))


def _pending(
    volume: Volume, runs: Sequence[Row], judged: set[tuple[str, date, int]], limit: int | None
) -> Iterator[tuple[Row, Closes, list[DueOutcome]]]:
    """Find the runs that there is something to say about; `runs` is in the order of their age."""
    candidates = [run for run in runs if _is_candidate(volume, run)]
    closes = {
        path: _closes_for(volume, path, candidates) for path in {run["dataset_path"] for run in candidates}
    }
    told = 0
    for run in candidates:
        known = closes[run["dataset_path"]]
        if known is None or _kind(known.source) != _kind(run["dataset_source"]):
            continue
        due = [one for one in _due(run, known) if (run["run_id"], one.day, one.horizon) not in judged]
        if due and (limit is None or told < limit):
            told += 1
            yield run, known, due


def _is_candidate(volume: Volume, run: Row) -> bool:
    path = signal_file(volume, run)
    told = all(run[name] for name in ("dataset_path", "dataset_end", "signals_first", "signals_last"))
    return path is not None and told and is_whole(path)


def _closes_for(volume: Volume, path: str, runs: Iterable[Row]) -> Closes | None:
    since = min(run["dataset_end"] for run in runs if run["dataset_path"] == path) - MARGIN
    return Closes.of(volume, path, since)


def _kind(source: str | None) -> str:
    """Take the kind of source; the data of another kind may be another market's."""
    return (source or "").partition(" ")[0]


def _due(run: Row, closes: Closes) -> Iterator[DueOutcome]:
    """Give the days whose outcome is in the closes, and was not in the run's data."""
    end, last = closes.index(run["dataset_end"]), len(closes.calendar) - 1
    for horizon in HORIZONS:
        for place in range(max(0, end - horizon), min(end, last - 1 - horizon) + 1):
            if run["signals_first"] <= closes.calendar[place] <= run["signals_last"]:
                yield DueOutcome(closes.calendar[place], horizon, place)


def _score(volume: Volume, run: Row, closes: Closes, due: Sequence[DueOutcome]) -> Iterator[Row]:
    path = signal_file(volume, run)
    assert path is not None, "candidates have one"
    days = pa.array(sorted({one.day for one in due}), type=pa.date32())
    signals = signals_of([path]).to_table(filter=pa_dataset.field("date").isin(days)).to_pandas()
    columns = {symbol: place for place, symbol in enumerate(closes.symbols)}
    places = signals["instrument"].map(columns)
    here = signals.assign(place=places)[places.notna()]
    scored = {day: _ScoredSignals.of(table) for day, table in here.groupby("date")}
    for one in due:
        today = scored.get(one.day, _ScoredSignals.nothing())
        outcome = closes.outcome(one.place, one.horizon)[today.places]
        yield {**_identity(run, closes, one), **_figures(today, outcome, run["topk"] or TOP)}


@dataclass(frozen=True)
class _ScoredSignals:
    """One day's signals: where their instruments are among the closes, and what they say."""

    places: NDArray[np.int64]
    score: NDArray[np.float64]
    rank: NDArray[np.int64]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        return cls(
            *(table[name].to_numpy(kind) for name, kind in (("place", "i8"), ("score", "f8"), ("rank", "i8")))
        )

    @classmethod
    def nothing(cls) -> Self:
        return cls(np.empty(0, "i8"), np.empty(0, "f8"), np.empty(0, "i8"))


def _identity(run: Row, closes: Closes, one: DueOutcome) -> Row:
    return {
        "run_id": run["run_id"],
        "dataset_path": run["dataset_path"],
        "date": one.day,
        "horizon": one.horizon,
        "live": one.day == run["dataset_end"],
        "known_on": closes.calendar[one.place + 1 + one.horizon],
        "signals_sha256": run["signals_sha256"],
        "dataset_fingerprint": closes.fingerprint,
    }


def _figures(today: _ScoredSignals, outcome: NDArray[np.float64], topk: int) -> Row:
    known = ~np.isnan(outcome)
    score, did = today.score[known], outcome[known]
    best = did[today.rank[known] <= topk]
    return {
        "instruments": len(did),
        "ic": _correlation(score, did),
        "rank_ic": _correlation(_ranked(score), _ranked(did)),
        "topk": topk,
        "top_return": float(best.mean()) if len(best) else None,
        "all_return": float(did.mean()) if len(did) else None,
    }


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank them; equals share the mean of their places."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return found


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    if len(one) < FEW or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    found = float(np.corrcoef(one, other)[0, 1])
    return found if math.isfinite(found) else None
