"""Qlib's processors without one pandas operation for each day; frames of unusual form are left to Qlib.

A sum of float32 has other last bits in another order. So these reduce the same values in the same order as
pandas does for Qlib. Frames whose values are stored in another way are processed by Qlib.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.core import nanops
from qlib.data.dataset import processor
from qlib.utils.data import zscore

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]


class CSZScoreNorm(processor.CSZScoreNorm):  # type: ignore[misc]
    """Each day's values less their mean, divided by their deviation."""

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the frame in place, as Qlib does, and return it."""
        groups = self.fields_group if isinstance(self.fields_group, list) else [self.fields_group]
        for group in groups:
            names = processor.get_group_columns(frame, group)
            block = _block(frame[names]) if self.zscore_func is zscore else None
            if block is None:
                return super().__call__(frame)  # type: ignore[no-any-return]
            scores = pd.DataFrame(
                _scores(block, _day_starts(frame)).T, index=frame.index, columns=names, copy=False
            )
            frame[names] = scores
        return frame


class ProcessInf(processor.ProcessInf):  # type: ignore[misc]
    """Replaces an infinite value by the mean of the column's other values of that day."""

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame; only days with infinite values are computed."""
        block = _block(frame)
        if block is None or not frame.index.is_monotonic_increasing:
            return super().__call__(frame)  # type: ignore[no-any-return]
        infinite = np.isinf(block)
        if not infinite.any():
            return frame
        finite = _without_infinities(block.copy(), infinite, _day_starts(frame))
        return pd.DataFrame(finite.T, index=frame.index, columns=frame.columns, copy=False)


def _without_infinities(
    block: Floats, infinite: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]
) -> Floats:
    columns, rows = np.nonzero(infinite)
    days = np.searchsorted(starts, rows, side="right") - 1
    for column, day in sorted(set(zip(columns.tolist(), days.tolist(), strict=True))):
        span = slice(starts[day], starts[day + 1])
        values, bad = block[column, span], infinite[column, span]
        values[bad] = nanops.nanmean(values[~bad])
    return block


def _block(frame: pd.DataFrame) -> Floats | None:
    """Return the values by columns if they are one block of floats in the order of days, else None."""
    index = frame.index
    if not isinstance(index, pd.MultiIndex) or index.names[0] != "datetime" or frame.empty:
        return None
    if len(set(frame.dtypes)) != 1 or frame.dtypes.iloc[0].kind != "f":
        return None
    block = frame.to_numpy().T
    by_day = bool((np.diff(index.codes[0]) >= 0).all()) and int(index.codes[0][0]) >= 0
    return block if block.flags.c_contiguous and by_day else None


def _day_starts(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the first row of each day, and the number of rows."""
    codes = frame.index.codes[0]  # type: ignore[attr-defined]
    return np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]])


def _scores(block: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    scores = np.empty_like(block)
    with np.errstate(all="ignore"):
        for begin, end in itertools.pairwise(starts):
            values = block[:, begin:end]
            mean = nanops.nanmean(values, axis=1)[:, None].astype(block.dtype)
            deviation = nanops.nanstd(values, axis=1)[:, None].astype(block.dtype)
            np.divide(values - mean, deviation, out=scores[:, begin:end])
    return scores
