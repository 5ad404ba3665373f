"""Features of a market in which nothing changes but its regimes, as counts by day.

Market-wide factors move all instruments' features together and go on for weeks, styles spread them, and
volatility has calm and stressed regimes: the days of a window are anything but independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.drift.bins import counts_by_day, edges_of
from qlib_shadow_runner.drift.distance import DAYS, LOOKED_AT, SPACING, distances, windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

FACTORS: Final = 12
INSTRUMENTS: Final = 60
STRESSED: Final = (1 / 120, 1 / 40, 1.8)
"""How often a calm day is followed by a stressed one, a stressed by a calm, and the volatility then."""
SLOWEST: Final = 0.97
"""How alike the slowest factor is on two days; a feature of 60 days is as slow."""


def market(generator: np.random.Generator, features: int, days: int) -> NDArray[np.float32]:
    """Return values by feature, day and instrument."""
    volatility = regimes(generator, days)
    alike = np.linspace(0.2, SLOWEST, FACTORS)
    common = _going_on(generator, (days, FACTORS), alike)
    styles = _going_on(generator, (days, INSTRUMENTS, FACTORS), alike)
    loads = generator.normal(size=(features, FACTORS)) / np.sqrt(FACTORS)
    moved = generator.normal(size=(features, FACTORS)) / np.sqrt(FACTORS) * 0.4
    power = generator.choice([0.0, 0.5, 1.0], size=features)
    found = np.empty((features, days, INSTRUMENTS), np.float32)
    for place in range(features):
        own = generator.standard_normal((days, INSTRUMENTS), dtype=np.float32)
        value = styles @ loads[place].astype(np.float32) + 0.7 * own + (common @ moved[place])[:, None]
        found[place] = value * (volatility ** power[place])[:, None]
    return found


def regimes(generator: np.random.Generator, days: int) -> Floats:
    """Return the volatility of each day: a slow one, higher while the market is stressed."""
    begin, end, times = STRESSED
    draws, stressed, found = generator.random(days), False, np.empty(days)
    for day in range(days):
        stressed = draws[day] < begin if not stressed else draws[day] >= end
        found[day] = times if stressed else 1.0
    slow = _going_on(generator, (days, 1), np.array([0.97]))[:, 0]
    return np.asarray(found * np.exp(0.2 * slow))


def _going_on(generator: np.random.Generator, shape: tuple[int, ...], alike: Floats) -> NDArray[np.float32]:
    found = generator.standard_normal(shape, dtype=np.float32)
    keep, fresh = alike.astype(np.float32), np.sqrt(1 - alike**2).astype(np.float32)
    for day in range(1, len(found)):
        found[day] = keep * found[day - 1] + fresh * found[day]
    return found


def counted(values: NDArray[np.float32], reference: int) -> Counts:
    """Return the counts of one feature by day, in bins of the first days, which are the reference."""
    days, many = values.shape
    edges = edges_of(values[:reference].ravel())
    return counts_by_day(values.ravel(), np.repeat(np.arange(days), many), days, edges)


def nightly(counts: Counts, reference: int, renewed: int | None = None) -> Floats:
    """Return each night's distance in units of the reference's farthest window.

    The reference are the first days, or, where it is renewed every so many nights, so many days before.
    """
    nights = len(counts) - reference
    shown = np.empty(nights)
    new = _looked_at_nightly(counts)[reference - (LOOKED_AT - 1) * SPACING :]
    for begin in range(0, nights, renewed or nights):
        past = counts[begin : begin + reference : SPACING]
        total = past.sum(axis=0)
        most = max(0.01, float(distances(windows_of(past), total).max()))
        part = slice(begin, begin + (renewed or nights))
        shown[part] = distances(new[part], total) / most
    return shown


def rolling(counts: Counts, reference: int) -> Floats:
    """Return each night's distance from the days before the new ones, which roll with it."""
    return nightly(counts, reference, renewed=DAYS)


def _looked_at_nightly(counts: Counts) -> Counts:
    """Return the counts of the days that are looked at in each window of DAYS, by its last day."""
    back = (LOOKED_AT - 1) * SPACING
    shifted = [counts[back - step : len(counts) - step] for step in range(0, back + 1, SPACING)]
    return np.asarray(np.sum(shifted, axis=0), np.int64)
