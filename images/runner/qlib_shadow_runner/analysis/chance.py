"""The mean of daily values held against chance, where the values of neighbouring days overlap.

A label that reaches over h days makes the values of h days in a row nearly one value, and then days are not
independent. The variance of the mean is therefore computed from equal-weighted cosines (Lazarus, Lewis, Stock
and Watson 2018), and t is compared with Student's distribution. docs/decisions/0018 says why, and
`make calibrate-verdict` measures how often it is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

LEVEL: Final = 0.02
"""A mean is beyond chance where p is smaller. A report makes two claims, of IC and profit: together 4%."""
FEWEST_BLOCKS: Final = 10
"""With fewer independent blocks there is no t: five cosines are the fewest that measure a variance."""
FEWEST_COSINES: Final = FEWEST_BLOCKS // 2
MOST: Final = 0.4
"""At most so many cosines times the days to the power 2/3: the rule of the authors, for slow changes."""


@dataclass(frozen=True)
class Chance:
    """The mean of daily values, and whether chance explains it."""

    days: int
    horizon: int
    """The days over which one value reaches; 1 where the values do not overlap."""
    mean: float
    error: float | None
    """The standard error of the mean; None for too few blocks, or where all values are equal."""

    @classmethod
    def of(
        cls, values: pd.Series | NDArray[np.float64] | Sequence[float] | None, horizon: int
    ) -> Chance | None:
        """Return the test of the values that exist, in the order of their days, or None if there are none."""
        found = np.asarray([] if values is None else values, dtype=np.float64)
        found = found[np.isfinite(found)]
        if not len(found):
            return None
        reach = max(1, horizon)
        cosines = count_cosines(len(found), reach)
        return cls(len(found), reach, float(found.mean()), _error(found, cosines) if cosines else None)

    @property
    def t(self) -> float | None:
        """Return the mean in standard errors."""
        return None if self.error is None else self.mean / self.error

    @property
    def p(self) -> float | None:
        """Return how often a mean of nothing is as far from zero, or farther."""
        return None if self.t is None else two_sided(self.t, self.cosines)

    @property
    def blocks(self) -> int:
        """Return how many values do not overlap: the days divided by the horizon."""
        return self.days // self.horizon

    @property
    def cosines(self) -> int:
        """Return the degrees of freedom of t."""
        return count_cosines(self.days, self.horizon)

    @property
    def sign(self) -> int | None:
        """Return 1 or -1 for a mean beyond chance, 0 for one within it, None where that cannot be told."""
        if self.p is None:
            return None
        return int(math.copysign(1, self.mean)) if self.p < LEVEL else 0

    @property
    def words(self) -> str:
        """Return t with its degrees of freedom and p, or why there is no t."""
        if self.blocks < FEWEST_BLOCKS:
            return f"no t: {self._blocks}, and a verdict needs {FEWEST_BLOCKS}"
        if self.t is None or self.p is None:
            return "no t: every day has the same value"
        told = f"t = {self.t:.1f} with {self.cosines} degrees of freedom, p {_percent(self.p)}"
        return f"{told}; {self._blocks}" if self.horizon > 1 else told

    @property
    def _blocks(self) -> str:
        if self.horizon == 1:
            return f"there are {self.days} days"
        return f"{self.days} days of a {self.horizon}-day label are {self.blocks} independent blocks"


def count_cosines(days: int, horizon: int) -> int:
    """Return how many cosines measure the variance; 0 where there are too few blocks.

    A block needs two: faster cosines would see that the days within a block are alike, and call it certainty.
    """
    blocks = days // horizon
    if blocks < FEWEST_BLOCKS:
        return 0
    return min(blocks // 2, max(FEWEST_COSINES, int(MOST * days ** (2 / 3))))


def _error(values: NDArray[np.float64], cosines: int) -> float | None:
    """Return the standard error of the mean, or None where it is zero."""
    days = len(values)
    if np.ptp(values) == 0:
        return None
    waves = np.cos(np.pi * np.outer(np.arange(1, cosines + 1), (np.arange(days) + 0.5) / days))
    projected = waves @ (values - values.mean()) * math.sqrt(2 / days)
    error = math.sqrt(float((projected**2).mean()) / days)
    return error or None


def two_sided(t: float, freedom: int) -> float:
    """Return the probability that Student's t is as far from zero as this, or farther.

    For whole degrees of freedom it is a finite sum of powers of a cosine.
    """
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    within = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return max(0.0, 1 - abs(within))


def _percent(p: float) -> str:
    return "below 0.1%" if p < 0.001 else f"= {p:.1%}"  # noqa: PLR2004 - the smallest that is shown
