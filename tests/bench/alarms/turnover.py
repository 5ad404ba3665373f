"""The turnover of the best instruments, in a market in which nothing changes but its regimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from tests.bench.alarms.features import regimes

from qlib_shadow_runner.drift.measure import drift_of_turnover

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEAN: Final = 0.3
IN_STRESS: Final = 0.06
"""How much more changes in a day for each doubling of the volatility."""
GOES_ON: Final = 0.4
BY_CHANCE: Final = 0.07


def daily_turnover(generator: np.random.Generator, days: int) -> Floats:
    """Return the share of the best that changes each day."""
    noise = generator.normal(size=days)
    for day in range(1, days):
        noise[day] = GOES_ON * noise[day - 1] + np.sqrt(1 - GOES_ON**2) * noise[day]
    return np.clip(MEAN + IN_STRESS * np.log2(regimes(generator, days)) + BY_CHANCE * noise, 0, 1)


def nightly_turnover(daily: Floats, reference: int, every: int = 1) -> Floats:
    """Return the drift of the turnover on each night, or on some, over so many evaluated days."""
    nights = range(reference, len(daily), every)
    found = [drift_of_turnover(daily[night - reference : night + 1]) for night in nights]
    return np.repeat(np.asarray(found, np.float64), every)[: len(daily) - reference]
