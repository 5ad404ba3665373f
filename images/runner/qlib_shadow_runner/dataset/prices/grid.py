"""Compute every bar's place in the output by arithmetic, without sorting and without a loop over rows.

The symbols follow one another in one array: each has a slot for the start index and one slot for every
trading day from its first bar to its last, which is the content of a bin file.
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
    """The shape of a dataset: its days, and the first and last day of each symbol."""

    days: Days
    first: Places
    last: Places

    @cached_property
    def heads(self) -> Places:
        """Return each symbol's slot for the start index; symbols without bars have none."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    @cached_property
    def lengths(self) -> Places:
        """Return each symbol's number of slots."""
        return np.where(self.alive, self.last - self.first + 2, 0)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Return which symbols have bars."""
        return self.last >= 0

    @property
    def size(self) -> int:
        """Return the number of all slots."""
        return int(self.lengths.sum())

    def places(self, days: Days, codes: Days) -> Places:
        """Return the slots of bars, which are given by day since 1970 and symbol."""
        places: Places = self.heads[codes] + 1 - self.first[codes] + self.index(days)
        return places

    def index(self, days: Days) -> Places:
        """Return the days' positions in the calendar."""
        index: Places = self._number[days - self.days[0]]
        return index

    @cached_property
    def _number(self) -> Places:
        number = np.zeros(int(self.days[-1]) - int(self.days[0]) + 1, np.int64)
        number[self.days - self.days[0]] = np.arange(len(self.days))
        return number


def make_grid(keys: Sequence[tuple[Days, Days]], symbols: int) -> Grid:
    """Return the grid for all bars; its calendar is the union of their days."""
    days = _union([days for days, _ in keys if len(days)])
    grid = Grid(days, np.full(symbols, len(days), np.int64), np.full(symbols, -1, np.int64))
    for bars, codes in keys:
        index = grid.index(bars)
        np.minimum.at(grid.first, codes, index)
        np.maximum.at(grid.last, codes, index)
    return grid


def _union(columns: Sequence[Days]) -> Days:
    """Return the distinct days, found by marking them in a table of all days."""
    first = min(int(days.min()) for days in columns)
    there = np.zeros(max(int(days.max()) for days in columns) - first + 1, bool)
    for days in columns:
        there[days - first] = True
    return (np.flatnonzero(there) + first).astype(np.int32)
