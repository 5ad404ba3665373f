"""Every bar's place in the output, found by arithmetic: no sorting, no loop over rows.

All symbols lie one after another, each as its slot for the start index and then one slot for every
trading day from its first bar to its last. That is the bin files' content already.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]
    Days = NDArray[np.int32]


@dataclass(frozen=True)
class Grid:
    """The shape of a dataset: its days, and each symbol's span of them."""

    days: Days
    first: Places
    last: Places

    @cached_property
    def heads(self) -> Places:
        """Give each symbol's slot for the start index; symbols without bars have none."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    @cached_property
    def lengths(self) -> Places:
        """Count each symbol's slots."""
        return np.where(self.alive, self.last - self.first + 2, 0)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Say which symbols have bars."""
        return self.last >= 0

    @property
    def size(self) -> int:
        """Count all slots."""
        return int(self.lengths.sum())

    def places(self, days: Days, codes: Days) -> Places:
        """Find the slots of bars, given by day since 1970 and symbol."""
        places: Places = self.heads[codes] + 1 - self.first[codes] + self.index(days)
        return places

    def index(self, days: Days) -> Places:
        """Give the days' numbers in the calendar."""
        index: Places = self._number[days - self.days[0]]
        return index

    @cached_property
    def _number(self) -> Places:
        number = np.zeros(int(self.days[-1]) - int(self.days[0]) + 1, np.int64)
        number[self.days - self.days[0]] = np.arange(len(self.days))
        return number


def make_grid(keys: Sequence[tuple[Days, Days]], symbols: int) -> Grid:
    """Find the calendar (the union of days) and the spans, from the days and symbols of all bars."""
    days = _union([days for days, _ in keys if len(days)])
    grid = Grid(days, np.full(symbols, len(days), np.int64), np.full(symbols, -1, np.int64))
    for bars, codes in keys:
        index = grid.index(bars)
        np.minimum.at(grid.first, codes, index)
        np.maximum.at(grid.last, codes, index)
    return grid


def _union(columns: Sequence[Days]) -> Days:
    """Collect the distinct days, by marking them: all of history is a small table."""
    first = min(int(days.min()) for days in columns)
    there = np.zeros(max(int(days.max()) for days in columns) - first + 1, bool)
    for days in columns:
        there[days - first] = True
    return (np.flatnonzero(there) + first).astype(np.int32)
