"""The followup: how the prices moved after signals whose outcome was not yet in their run's data.

A run's own report covers the signals whose outcome its data has. The last signals, whose outcome was not
in the data, are the only unbiased test. They are evaluated here, once for each day and horizon, with the
first data that has the outcome. The rows are kept when the run's folder is removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.catalog.outcome_data import OutcomeData
from qlib_shadow_runner.catalog.returns import HORIZONS
from qlib_shadow_runner.catalog.signals_table import is_whole, signal_file, signals_on
from qlib_shadow_runner.catalog.tables import catalog_folder, read_arrow, read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from qlib_shadow_runner.catalog.returns import Closes
    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

FILE: Final = "followup.parquet"
SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("dataset_path", pa.string()),
        ("dataset_feed", pa.string()),
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
        ("model_trained_by", pa.string()),
        ("namespace", pa.string()),
    ]
)
TOP: Final = 20
"""The number of best instruments, if the run's strategy does not say it."""
MARGIN: Final = timedelta(days=90)
"""Closes are read from this long before a run's last day: longer than the longest horizon with holidays."""
LONGEST_WAIT: Final = timedelta(days=45)
"""The outcome of signals this long before the end of their run's data was in that data."""
EXAMINED_FOR_EACH: Final = 4
"""Where an update judges a limited number of runs, it examines at most so many for each."""
FEW: Final = 2
"""Fewer pairs than this have no correlation."""


@dataclass(frozen=True)
class DueOutcome:
    """One day of one run's signals and one horizon, whose outcome is now known."""

    day: date
    horizon: int
    place: int
    """The day's index in the closes."""


def followup_file(volume: Volume) -> Path:
    """Return the table's file."""
    return catalog_folder(volume) / FILE


def read_followup(volume: Volume) -> list[Row]:
    """Return the rows that exist."""
    return read_table(followup_file(volume), SCHEMA)


def read_live(path: Path) -> pa.Table:
    """Return the rows of `live` signals: those of the last day of their run's data."""
    return read_arrow(path, SCHEMA).filter(pc.field("live"))


def rows_of(table: pa.Table, run_id: str) -> list[Row]:
    """Return the rows of one run."""
    found: list[Row] = table.filter(pc.field("run_id") == run_id).to_pylist()
    return found


def refresh_followup(volume: Volume, runs: Sequence[Row], limit: int | None = None) -> list[Row]:
    """Write the outcomes that are now known, of the newest runs first; the caller holds the lock."""
    before = read_followup(volume)
    after = follow_up(volume, runs, before, limit)
    if after != before:
        write_table(followup_file(volume), after, SCHEMA)
    return after


def follow_up(
    volume: Volume, runs: Sequence[Row], before: Sequence[Row], limit: int | None = None
) -> list[Row]:
    """Return the rows whose signals are unchanged, and the new ones."""
    hashes = {run["run_id"]: run["signals_sha256"] for run in runs}
    kept = [
        row for row in before if hashes.get(row["run_id"], row["signals_sha256"]) == row["signals_sha256"]
    ]
    evaluated = {(row["run_id"], row["date"], row["horizon"]) for row in kept}
    found: list[Row] = []
    for run, closes, due in _pending(volume, runs, evaluated, limit):
        found += _score(volume, run, closes, due)
    return sorted([*kept, *found], key=lambda row: (row["date"], row["run_id"], row["horizon"]))


def not_judged(volume: Volume, runs: Sequence[Row], judged: Sequence[Row]) -> dict[str, str]:
    """Return the runs without an outcome although there is later data, with a sentence for each."""
    known = {row["run_id"] for row in judged}
    candidates = [run for run in runs if run["run_id"] not in known and _is_candidate(volume, run)]
    data = _outcome_data(volume, candidates)
    for run in candidates:
        data.closes_for(run)
    return data.refused


def _outcome_data(volume: Volume, candidates: Sequence[Row]) -> OutcomeData:
    ends = [run["universe_end"] for run in candidates]
    return OutcomeData(volume, min(ends, default=date.max - MARGIN) - MARGIN)


def _pending(
    volume: Volume, runs: Sequence[Row], evaluated: set[tuple[str, date, int]], limit: int | None
) -> Iterator[tuple[Row, Closes, list[DueOutcome]]]:
    """Yield the runs with outcomes that are now known; `runs` are sorted by age."""
    candidates = [run for run in runs if not _is_judged(run, evaluated) and _is_candidate(volume, run)]
    data = _outcome_data(volume, candidates)
    yielded = 0
    for examined, run in enumerate(candidates):
        if limit is not None and (yielded >= limit or examined >= limit * EXAMINED_FOR_EACH):
            return
        known = data.closes_for(run)
        if known is None:
            continue
        due = [one for one in _due(run, known) if (run["run_id"], one.day, one.horizon) not in evaluated]
        if due:
            yielded += 1
            yield run, known, due


def _is_judged(run: Row, evaluated: set[tuple[str, date, int]]) -> bool:
    """Return whether the outcome that is known last is there, or the run's own data had them all."""
    last, end = run["signals_last"], run["universe_end"]
    if last is None or end is None:
        return True
    return (run["run_id"], last, HORIZONS[-1]) in evaluated or end - last > LONGEST_WAIT


def _is_candidate(volume: Volume, run: Row) -> bool:
    path = signal_file(volume, run)
    described = all(run[name] for name in ("dataset_path", "dataset_end", "signals_first", "signals_last"))
    return path is not None and described and is_whole(path)


def _due(run: Row, closes: Closes) -> Iterator[DueOutcome]:
    """Yield the days whose outcome is in the closes and was not in the run's data."""
    end, last = closes.index(run["universe_end"]), len(closes.calendar) - 1
    for horizon in HORIZONS:
        for place in range(max(0, end - horizon), min(end, last - 1 - horizon) + 1):
            if run["signals_first"] <= closes.calendar[place] <= run["signals_last"]:
                yield DueOutcome(closes.calendar[place], horizon, place)


def _score(volume: Volume, run: Row, closes: Closes, due: Sequence[DueOutcome]) -> Iterator[Row]:
    path = signal_file(volume, run)
    assert path is not None, "candidates have one"
    days = pa.array(sorted({one.day for one in due}), type=pa.date32())
    table = signals_on(path, days)
    if table is None:  # a query names the file and what is wrong with it
        return
    signals = table.to_pandas()
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
    """One day's signals, with the index of each instrument in the closes."""

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
        "dataset_feed": run["dataset_feed"],
        "date": one.day,
        "horizon": one.horizon,
        "live": one.day == run["universe_end"],
        "known_on": closes.calendar[one.place + 1 + one.horizon],
        "signals_sha256": run["signals_sha256"],
        "dataset_fingerprint": closes.fingerprint,
        "model_trained_by": run["model_trained_by"],
        "namespace": run["namespace"],
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
    """Return the ranks; equal values share their mean rank."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return found


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    if len(one) < FEW or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    found = float(np.corrcoef(one, other)[0, 1])
    return found if math.isfinite(found) else None
