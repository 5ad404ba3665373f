"""The drift of new days, in units of the past: at 1 they are as far as the farthest window of the reference.

Features are held against the days that the model was trained on. Scores and their turnover are held against
the evaluated days before the new ones, since a model's scores of the days that it has learnt from are others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qlib_shadow_runner.drift.bins import counts_by_day, edges_of
from qlib_shadow_runner.drift.distance import DAYS, LEAST, LOOKED_AT, SPACING, distances, farthest

if TYPE_CHECKING:
    import numpy.typing as npt

    from qlib_shadow_runner.drift.bins import Counts, Floats
    from qlib_shadow_runner.drift.distance import Numbers

    Places = npt.NDArray[np.int64]

MOST_A_DAY: Final = 100
"""Instruments of a day that are looked at, evenly spread."""
BEST: Final = 10
"""One of so many instruments is among the best, whose change from day to day is the turnover."""


def starts_of(days: Places) -> Places:
    """Return where each day begins among rows that are sorted by day, and where the last one ends."""
    return np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1, [len(days)]]).astype(np.int64)


def looked_at(starts: Places) -> tuple[Places, Places]:
    """Return the rows that are looked at and the number of each one's day: days counted from the last one."""
    chosen = np.arange(len(starts) - 2, -1, -SPACING)[::-1]
    parts = [_spread(starts[day], starts[day + 1]) for day in chosen]
    numbers = np.repeat(np.arange(len(chosen)), [len(part) for part in parts])
    return np.concatenate([*parts, np.empty(0, np.int64)]), numbers


def _spread(begin: int, end: int) -> Places:
    many = min(end - begin, MOST_A_DAY)
    return np.linspace(begin, end - 1, many).round().astype(np.int64)


def drift_of_counts(new: Counts, reference: Counts, most: float) -> float:
    """Return how far the counts of new days are from a reference whose own windows are at most so far."""
    return float(distances(new, reference)) / max(most, LEAST)


def drift_of_scores(scores: Floats, starts: Places) -> float | None:
    """Return how far the scores of the last days are from those before; None where there are too few."""
    rows, days = looked_at(starts)
    many = int(days[-1]) + 1 if len(days) else 0
    if many < 2 * LOOKED_AT:
        return None
    values = scores.take(rows)
    counts = counts_by_day(values, days, many, edges_of(values[days < many - LOOKED_AT]))
    before = counts[:-LOOKED_AT]
    return drift_of_counts(counts[-LOOKED_AT:].sum(axis=0), before.sum(axis=0), farthest(before))


def turnover(scores: Floats, instruments: npt.NDArray[np.integer[Any]], starts: Places) -> Numbers:
    """Return for each day but the first which share of its best instruments was not among the best before."""
    found, before = [], None
    for begin, end in pairwise(starts):
        many = max(1, int(end - begin) // BEST)
        best = instruments[begin:end][np.argpartition(-scores[begin:end], many - 1)[:many]]
        if before is not None:
            found.append(1 - np.isin(best, before).mean())
        before = best
    return np.asarray(found, np.float64)


def drift_of_turnover(daily: Numbers) -> float | None:
    """Return how far the mean of the last days is from that before; None where there are too few."""
    if len(daily) < 2 * DAYS:
        return None
    before = daily[:-DAYS]
    sums = np.cumsum(np.concatenate([[0.0], before]))
    windows, mean = (sums[DAYS:] - sums[:-DAYS]) / DAYS, before.mean()
    most = max(LEAST, float(np.abs(windows - mean).max()))
    return float(abs(daily[-DAYS:].mean() - mean) / most)
