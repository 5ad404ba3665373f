"""Equal scores of one day: where a model gives many instruments one score, their order means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Ties:
    """How many instruments share their score with another; of the median day, except `undecided`."""

    days: int
    instruments: int
    distinct: int
    tied: int
    """The instruments that have another's score."""
    undecided: int | None
    """The days on which equal scores lie on both sides of the last place that is held; None without one."""

    @classmethod
    def of(cls, table: pd.DataFrame | None, topk: int | None) -> Ties | None:
        """Return the ties in a table with a row for each day and a column for each instrument."""
        if table is None or table.empty:
            return None
        scores = np.sort(table.to_numpy(np.float64), axis=1)  # the best last, NaN after them
        known = ~np.isnan(scores)
        size = known.sum(axis=1)
        days = int((size > 1).sum())
        if not days:
            return None
        equal = scores[:, 1:] == scores[:, :-1]
        before, after = np.zeros_like(known), np.zeros_like(known)
        before[:, 1:], after[:, :-1] = equal, equal
        several = size > 1
        distinct = (size - equal.sum(axis=1))[several]
        return cls(
            days=days,
            instruments=int(np.median(size[several])),
            distinct=int(np.median(distinct)),
            tied=int(np.median((before | after).sum(axis=1)[several])),
            undecided=None if topk is None else _undecided(equal, size, topk),
        )


def _undecided(equal: np.ndarray, size: np.ndarray, topk: int) -> int:
    """Return on how many days the best `topk` and the rest meet at one score."""
    cut = np.flatnonzero(size > topk) if topk > 0 else np.empty(0, int)
    return int(equal[cut, size[cut] - topk - 1].sum())
