"""The difference of two daily series on their common days, with its uncertainty by a block bootstrap.

Neighbouring days are alike: a label of 20 days overlaps with that of the next. So whole blocks of days, three
times as long as the label, are drawn again. There are few blocks, so that Student's t with as many degrees of
freedom stands for the normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FEWEST_BLOCKS: Final = 8
DRAWS: Final = 2000
SEED: Final = 0
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """The mean of one series minus that of the other, per day; interval and p are None for too few blocks."""

    days: int
    blocks: int
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def is_beyond_chance(self) -> bool:
        """Return whether the interval leaves zero out."""
        return self.p is not None and self.p < 1 - CONFIDENCE


def paired_difference(
    one: pd.Series | None, other: pd.Series | None, horizon: int = 1
) -> PairedDifference | None:
    """Return the difference of two series on the days that both have, or None where there is none."""
    if one is None or other is None:
        return None
    found = (one - other).dropna().to_numpy(dtype="float64")
    if not len(found):
        return None
    length = max(ceil(1.5 * len(found) ** (1 / 3)), 3 * horizon if horizon > 1 else 1)
    blocks, mean = len(found) // length, float(found.mean())
    if blocks < FEWEST_BLOCKS:
        return PairedDifference(len(found), blocks, mean)
    error = _standard_error(found, length)
    if not error or not isfinite(error):
        return PairedDifference(len(found), blocks, mean)
    reach = float(stdtrit(blocks - 1, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(blocks - 1, -abs(mean) / error))
    return PairedDifference(len(found), blocks, mean, mean - reach, mean + reach, p)


def _standard_error(values: NDArray[np.float64], length: int) -> float:
    """Return the deviation of the mean over draws of blocks; the last days are followed by the first."""
    count = ceil(len(values) / length)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:length]]))])
    blocks = sums[length : length + len(values)] - sums[: len(values)]
    starts = np.random.default_rng(SEED).integers(0, len(values), (DRAWS, count))
    means = blocks[starts].sum(axis=1) / (count * length)
    return float(means.std() * np.sqrt(count / (count - 1)))
