"""Alarms of nightly figures: as long as an alarm's window of days is in sight, it is the same alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.drift.distance import DAYS

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS: Final = 40


def alarms(nightly: NDArray[np.float64], limit: float) -> NDArray[np.int64]:
    """Return how many alarms each row of nightly figures has."""
    over = nightly > limit
    totals = np.cumsum(np.pad(over, ((0, 0), (DAYS, 0))), axis=1)
    before: NDArray[np.int64] = (
        totals[:, DAYS - 1 : -1] - np.pad(totals, ((0, 0), (1, 0)))[:, : over.shape[1]]
    )
    return np.asarray((over & (before == 0)).sum(axis=1), np.int64)


def limit_for(nightly: NDArray[np.float64], most: float) -> float:
    """Return the lowest limit, to a hundredth, with at most so many alarms a row in the mean."""
    low, high = 0.5, float(nightly.max()) + 0.01
    for _ in range(STEPS):
        middle = (low + high) / 2
        if alarms(nightly, middle).mean() > most:
            low = middle
        else:
            high = middle
    return float(np.ceil(high * 100) / 100)
