"""Prices as Qlib expects them, by the conventions of its own Yahoo collector.

    factor   = adjusted close / raw close        carried over days that lack it
    price    = raw price * factor                volume = raw volume / factor
    then every symbol is scaled so that its first close is 1: price, factor / base, volume * base
    change   = close / the close before - 1

So price / factor is the raw price again, and the history does not change with every new dividend. Unlike
the collector's, `change` is of adjusted closes: a split must not look like a limit move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.grid import Grid

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


@dataclass(frozen=True)
class Adjustment:
    """What multiplies prices and divides volume, slot by slot; None leaves both alone."""

    factor: Floats | None

    def price(self, values: Floats) -> Floats:
        """Adjust prices in place."""
        return values if self.factor is None else np.multiply(values, self.factor, out=values)

    def volume(self, values: Floats) -> Floats:
        """Adjust volumes in place."""
        return values if self.factor is None else np.divide(values, self.factor, out=values)


def scaled(grid: Grid, close: Floats, factor: Floats | None) -> Adjustment:
    """Carry the factor over gaps, and scale it so that the first adjusted close of each symbol is 1."""
    carried = np.ones(grid.size) if factor is None else carry(grid, factor)
    base = np.ones(len(grid.heads))
    starts = grid.heads[grid.alive] + 1  # a symbol begins with a bar, so there is a close
    base[grid.alive] = close[starts] * carried[starts]
    carried /= np.repeat(base, grid.lengths)
    return Adjustment(carried)


def carry(grid: Grid, values: Floats) -> Floats:
    """Fill what is missing with the value before it, or, at a symbol's start, with its first one, or 1."""
    starts = grid.heads[grid.alive] + 1
    known = np.flatnonzero(~np.isnan(values))
    after = np.searchsorted(known, starts)
    ends = grid.heads[grid.alive] + grid.lengths[grid.alive]
    nearest = known[np.minimum(after, len(known) - 1)] if len(known) else np.zeros_like(starts)
    inside = (after < len(known)) & (nearest < ends)
    values[starts] = np.where(inside, values[nearest], 1.0)
    return values[_last_known(grid, values)]


def change(grid: Grid, close: Floats) -> Floats:
    """Give the return since the last close there was, over gaps too."""
    before = np.empty(grid.size, np.int64)
    before[0] = 0
    before[1:] = _last_known(grid, close)[:-1]
    # A symbol's first bar looks back at the slot of its start index, which holds nothing.
    return close / close[before] - 1


def _last_known(grid: Grid, values: Floats) -> Places:
    """Give, for each slot, the latest slot of the same symbol that has a value; the head for none."""
    places = np.arange(grid.size)
    places[np.isnan(values)] = 0
    places[grid.heads[grid.alive]] = grid.heads[grid.alive]
    return np.maximum.accumulate(places)
