"""The difference of two daily series on their common days, with an interval that counts overlapping days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scipy.special import stdtrit  # type: ignore[import-untyped]

from qlib_shadow_runner.analysis.chance import Chance

if TYPE_CHECKING:
    import pandas as pd

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
    found = Chance.of((one - other).to_numpy(dtype="float64"), horizon)
    if found is None:
        return None
    if found.error is None:
        return PairedDifference(found.days, found.blocks, found.mean)
    reach = float(stdtrit(found.cosines, (1 + CONFIDENCE) / 2)) * found.error
    return PairedDifference(
        found.days, found.blocks, found.mean, found.mean - reach, found.mean + reach, found.p
    )
