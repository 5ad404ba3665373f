"""Qlib's processors without a step in pandas for each day; where the same bits are not sure, Qlib does it.

A sum of float32 has other last bits in another order. So these reduce the same values in the same order as
pandas does for Qlib, and leave frames whose blocks lie otherwise to Qlib. Loaded by qrun, by class path.
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
    """Each day's values less their mean, over their deviation."""

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Do it in place, as Qlib does."""
        groups = self.fields_group if isinstance(self.fields_group, list) else [self.fields_group]
        for group in groups:
            names = processor.get_group_columns(frame, group)
            block = _block(frame[names]) if self.zscore_func is zscore else None
            if block is None:
                return super().__call__(frame)  # type: ignore[no-any-return]
            scores = pd.DataFrame(
                _scores(block, _days(frame)).T, index=frame.index, columns=names, copy=False
            )
            frame[names] = scores
        return frame


class ProcessInf(processor.ProcessInf):  # type: ignore[misc]
    """Infinite values become the mean of the day's others."""

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Look only at the days that have any."""
        block = _block(frame)
        if block is None or not frame.index.is_monotonic_increasing:
            return super().__call__(frame)  # type: ignore[no-any-return]
        infinite = np.isinf(block)
        if not infinite.any():
            return frame
        mended = _without_infinities(block.copy(), infinite, _days(frame))
        return pd.DataFrame(mended.T, index=frame.index, columns=frame.columns, copy=False)


def _without_infinities(
    block: Floats, infinite: npt.NDArray[np.bool_], days: npt.NDArray[np.int64]
) -> Floats:
    columns, rows = np.nonzero(infinite)
    places = zip(columns.tolist(), (np.searchsorted(days, rows, side="right") - 1).tolist(), strict=True)
    for column, day in sorted(set(places)):
        span = slice(days[day], days[day + 1])
        values, bad = block[column, span], infinite[column, span]
        values[bad] = nanops.nanmean(values[~bad])
    return block


def _block(frame: pd.DataFrame) -> Floats | None:
    """Give the values by columns, if they are one block of floats that lies as pandas makes them."""
    index = frame.index
    if not isinstance(index, pd.MultiIndex) or index.names[0] != "datetime" or frame.empty:
        return None
    if len(set(frame.dtypes)) != 1 or frame.dtypes.iloc[0].kind != "f":
        return None
    block = frame.to_numpy().T
    in_days = bool((np.diff(index.codes[0]) >= 0).all()) and int(index.codes[0][0]) >= 0
    return block if block.flags.c_contiguous and in_days else None


def _days(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Say where each day begins, and where the last one ends."""
    codes = frame.index.codes[0]  # type: ignore[attr-defined]
    return np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]])


def _scores(block: Floats, days: npt.NDArray[np.int64]) -> Floats:
    scores = np.empty_like(block)
    with np.errstate(all="ignore"):
        for begin, end in itertools.pairwise(days):
            values = block[:, begin:end]
            mean = nanops.nanmean(values, axis=1)[:, None].astype(block.dtype)
            deviation = nanops.nanstd(values, axis=1)[:, None].astype(block.dtype)
            np.divide(values - mean, deviation, out=scores[:, begin:end])
    return scores
