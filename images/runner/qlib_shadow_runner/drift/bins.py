"""Values as counts: how many of a day's values lie in each bin, and how many are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Counts = npt.NDArray[np.int64]

SHARES: Final = np.arange(1, 10) / 10
"""The quantiles that divide a feature's values into ten bins; equal ones are one edge."""
MOST_FOR_EDGES: Final = 20_000
"""Values from which quantiles are taken; more change none of them by a hundredth of the values."""


def edges_of(values: Floats) -> Floats:
    """Return the edges between the bins of some values: ascending, none where all values are missing."""
    step = -(-len(values) // MOST_FOR_EDGES) or 1
    some = values[::step]
    finite = some[np.isfinite(some)]
    return np.unique(np.quantile(finite, SHARES).astype(values.dtype)) if len(finite) else values[:0]


def counts_by_day(values: Floats, days: npt.NDArray[np.integer[Any]], many: int, edges: Floats) -> Counts:
    """Return for each of so many days the counts in each bin, those of missing values last.

    `days` has the number of each value's day.
    """
    bins = len(edges) + 2
    number = np.searchsorted(edges, values, side="right")
    number[~np.isfinite(values)] = bins - 1
    number += days * bins
    return np.bincount(number, minlength=many * bins).reshape(many, bins)
