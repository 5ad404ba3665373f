"""Adjust prices by the conventions of Qlib's Yahoo collector.

    factor   = adjusted close / raw close        a day without one has the day before's
    price    = raw price * factor                volume = raw volume / factor
    then every symbol is scaled so that its first close is 1: price, factor / base, volume * base
    change   = close / previous close - 1

So price / factor is the raw price, and the history does not change with every new dividend. Unlike in the
collector, `change` uses adjusted closes: a split must not look like a limit move.
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
    """The factor that multiplies prices and divides volumes, slot by slot; None changes neither."""

    factor: Floats | None

    def price(self, values: Floats) -> Floats:
        """Adjust prices in place and return them."""
        return values if self.factor is None else np.multiply(values, self.factor, out=values)

    def volume(self, values: Floats) -> Floats:
        """Adjust volumes in place and return them."""
        return values if self.factor is None else np.divide(values, self.factor, out=values)


def scaled(grid: Grid, close: Floats, factor: Floats | None) -> Adjustment:
    """Return the factor without gaps, scaled so that the first adjusted close of each symbol is 1."""
    carried = np.ones(grid.size) if factor is None else carry(grid, factor)
    base = np.ones(len(grid.heads))
    starts = grid.heads[grid.alive] + 1  # a symbol begins with a bar, so it has a close
    base[grid.alive] = close[starts] * carried[starts]
    carried /= np.repeat(base, grid.lengths)
    return Adjustment(carried)


def carry(grid: Grid, values: Floats) -> Floats:
    """Fill gaps with the value before, and a gap at a symbol's start with its first value, or 1."""
    starts = grid.heads[grid.alive] + 1
    known = np.flatnonzero(~np.isnan(values))
    after = np.searchsorted(known, starts)
    ends = grid.heads[grid.alive] + grid.lengths[grid.alive]
    nearest = known[np.minimum(after, len(known) - 1)] if len(known) else np.zeros_like(starts)
    inside = (after < len(known)) & (nearest < ends)
    values[starts] = np.where(inside, values[nearest], 1.0)
    return values[_last_known(grid, values)]


def change(grid: Grid, close: Floats) -> Floats:
    """Return the return since the previous close, which may be more than a day before."""
    before = np.empty(grid.size, np.int64)
    before[0] = 0
    before[1:] = _last_known(grid, close)[:-1]
    # The slot before a symbol's first bar is that of its start index and has no close.
    return close / close[before] - 1


def _last_known(grid: Grid, values: Floats) -> Places:
    """Return for each slot the latest slot of the same symbol with a value, or else the symbol's head."""
    places = np.arange(grid.size)
    places[np.isnan(values)] = 0
    places[grid.heads[grid.alive]] = grid.heads[grid.alive]
    return np.maximum.accumulate(places)
