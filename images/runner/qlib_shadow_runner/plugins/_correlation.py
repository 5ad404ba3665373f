"""The correlation of two series on each day, as Qlib's calc_ic gives it.

pandas takes each day out of the frame, aligns it with itself and has scipy compute a probability that is
never read. Here the same functions get the same values of a day. Only the ranks are computed by pandas
instead of scipy; both give multiples of one half, so the bits are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.core.algorithms import rank  # type: ignore[attr-defined]
from pandas.core.nanops import nancorr  # type: ignore[import-not-found]

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def calc_ic(pred: pd.Series, label: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the correlation and the rank correlation on each day."""
    frame = pd.DataFrame({"pred": pred, "label": label})
    rows, days = pd.factorize(frame.index.get_level_values("datetime"), sort=True)
    order = np.argsort(rows, kind="stable")
    cuts = np.searchsorted(rows[order], np.arange(1, len(days)))
    sides = [np.split(frame[name].to_numpy(np.float64)[order], cuts) for name in ("pred", "label")]
    pairs = list(zip(*sides, strict=True))
    index = pd.DatetimeIndex(days, name="datetime")
    return (
        pd.Series([nancorr(*pair) for pair in pairs], index, np.float64),
        pd.Series([rank_correlation(*pair) for pair in pairs], index, np.float64),
    )


def rank_correlation(one: Floats, other: Floats) -> Any:
    """Return the correlation of the ranks, as scipy does; NaN where there is none."""
    there = ~(np.isnan(one) | np.isnan(other))
    one, other = one[there], other[there]
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():  # noqa: PLR2004
        return nancorr(one, other, method="spearman")
    return np.corrcoef(np.array([rank(one), rank(other)]))[1, 0]
