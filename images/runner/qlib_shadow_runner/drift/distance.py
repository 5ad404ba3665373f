"""How far windows of days are from a reference, by the population stability index of their counts.

What is far is told by a feature's own past: the same distance of the reference's own windows. Values of one
day move together, and volatility comes in regimes, so that a limit for independent values would ring always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from qlib_shadow_runner.drift.bins import Counts

    Numbers = npt.NDArray[np.float64]

DAYS: Final = 20
"""Trading days of a window."""
SPACING: Final = 4
"""Every so many days one is looked at: the neighbours of a day say little more."""
LOOKED_AT: Final = DAYS // SPACING
LEAST: Final = 0.01
"""No past window is said to be nearer than this: a feature that never changes would ring at once."""


def windows_of(counts: Counts) -> Counts:
    """Return the counts of each window of days that are looked at, from the first day on."""
    sums = np.cumsum(np.concatenate([np.zeros_like(counts[:1]), counts]), axis=0)
    found: Counts = sums[LOOKED_AT:] - sums[:-LOOKED_AT]
    return found


def distances(windows: Counts, reference: Counts) -> Numbers:
    """Return the index of each window: over all bins, differences of shares times those of their logs."""
    here, there = _shares(windows), _shares(reference)
    return np.asarray(((here - there) * np.log(here / there)).sum(axis=-1), np.float64)


def farthest(counts: Counts) -> float:
    """Return the greatest distance that a window of these days has from all of them."""
    return max(LEAST, float(distances(windows_of(counts), counts.sum(axis=0)).max()))


def _shares(counts: Any) -> Numbers:
    """Return shares, of which none is 0: half a value is added to each bin."""
    more = np.asarray(counts, np.float64) + 0.5
    return np.asarray(more / more.sum(axis=-1, keepdims=True), np.float64)
