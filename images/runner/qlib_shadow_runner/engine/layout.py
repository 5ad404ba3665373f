"""Which days each instrument has: all instruments one after another on one flat array.

A `Layout` is for all instruments at once what an index is for a pandas Series. Two values with the same
layout are combined position by position. Depends on numpy alone.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib.array_utils import byte_bounds

if TYPE_CHECKING:
    import numpy.typing as npt

    Whole = npt.NDArray[np.int64]

MISSING: Final = -1


class Layout:
    """The days from `first` to before `end` of the calendar, for each instrument; `Layouts` creates it."""

    def __init__(self, first: Whole, end: Whole) -> None:
        self.first, self.end = first, end
        self._starts: dict[int, Whole] = {}

    @cached_property
    def counts(self) -> Whole:
        """Return the number of days of each instrument."""
        return self.end - self.first

    @cached_property
    def offsets(self) -> Whole:
        """Return where each instrument begins on the flat array, and the length of the array."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])

    @property
    def size(self) -> int:
        """Return the length of the flat array."""
        return int(self.offsets[-1])

    @cached_property
    def positions(self) -> Whole:
        """Return 0, 1, 2 and so on."""
        return np.arange(self.size, dtype=np.int64)

    @cached_property
    def ends(self) -> Whole:
        """Return the end of the window that ends with each position."""
        return self.positions + 1

    @cached_property
    def beginnings(self) -> Whole:
        """Return for each position where its instrument begins."""
        return np.repeat(self.offsets[:-1], self.counts)

    @cached_property
    def endings(self) -> Whole:
        """Return for each position where its instrument ends."""
        return np.repeat(self.offsets[1:], self.counts)

    @cached_property
    def days(self) -> Whole:
        """Return the day of each position, as its position in the calendar."""
        return self.positions + np.repeat(self.first - self.offsets[:-1], self.counts)

    def starts(self, window: int) -> Whole:
        """Return the start of the window that ends with each position, within its instrument.

        pandas' kernels start again where a window does not overlap the one before, as the first window of an
        instrument does not: so one call for all instruments gives what one call for each gives.
        """
        if window not in self._starts:
            self._starts[window] = np.maximum(self.beginnings, self.positions - (window - 1))
        return self._starts[window]


class Layouts:
    """Returns equal layouts as the same object, so that comparing them is cheap."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Layout] = {}

    def of(self, first: Whole, end: Whole) -> Layout:
        """Return the layout of these days; an instrument without days begins on day 0."""
        empty = first >= end
        first, end = np.where(empty, 0, first), np.where(empty, 0, end)
        return self._known.setdefault((first.tobytes(), end.tobytes()), Layout(first, end))

    def union(self, one: Layout, other: Layout) -> tuple[Layout, Whole]:
        """Return the days of either layout, and the instruments with a gap between them."""
        if one is other:
            return one, np.empty(0, np.int64)
        no_one, no_other = one.counts == 0, other.counts == 0
        first = np.where(
            no_one, other.first, np.where(no_other, one.first, np.minimum(one.first, other.first))
        )
        end = np.maximum(one.end, other.end)
        apart = ~no_one & ~no_other & (np.maximum(one.first, other.first) > np.minimum(one.end, other.end))
        return self.of(first, end), np.flatnonzero(apart)

    def since(self, layout: Layout, first: Whole) -> Layout:
        """Return the days of a layout from one day of each instrument on."""
        return self.of(np.maximum(layout.first, first), layout.end)

    def within(self, layout: Layout, first: int, end: int) -> Layout:
        """Return the days of a layout that lie in a span."""
        return self.of(np.maximum(layout.first, first), np.minimum(layout.end, end))


def fit(values: npt.NDArray[np.generic], layout: Layout, wanted: Layout) -> npt.NDArray[np.generic]:
    """Return values aligned to another layout as pandas aligns: NaN on the days that they do not have."""
    if layout is wanted:
        return values
    first, end = np.maximum(layout.first, wanted.first), np.minimum(layout.end, wanted.end)
    counts = np.maximum(end - first, 0)
    ordinal = np.arange(counts.sum(), dtype=np.int64)

    def moved(one: Layout) -> Whole:
        beginnings: Whole = one.offsets[:-1] + first - one.first - np.cumsum(counts) + counts
        return ordinal + np.repeat(beginnings, counts)

    fitted = np.full(wanted.size, np.nan, values.dtype)
    fitted[moved(wanted)] = values[moved(layout)]
    return fitted


def places(layout: Layout, instruments: Whole, days: Whole) -> Whole:
    """Return the positions of instruments and days on a layout's flat array, or `MISSING`."""
    first, end = layout.first[instruments], layout.end[instruments]
    there = (days >= first) & (days < end)
    return np.where(there, layout.offsets[:-1][instruments] + days - first, MISSING)


@dataclass(frozen=True)
class Rows:
    """The rows of a matrix, as positions in the calendar and in the universe's instruments."""

    days: Whole
    instruments: Whole

    def since(self, day: int) -> Rows:
        """Return the rows from a day on; they are in the order of days."""
        first = int(np.searchsorted(self.days, day))
        return Rows(self.days[first:], self.instruments[first:])


def release_pages(values: npt.NDArray[Any]) -> None:
    """Let the kernel reuse the pages of an array if it is mapped from a file; other arrays are unchanged.

    Written values stay in the kernel's copy of the file, and a later access reads them again.
    """
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not values.size:
        return
    origin = np.frombuffer(owner, np.uint8).ctypes.data
    first, end = (bound - origin for bound in byte_bounds(values))
    begin = first - first % mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, begin, end - begin)
