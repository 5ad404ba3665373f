"""Find fields of one instrument that lack values on days on which it has a close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Fields = Mapping[str, tuple[int, Floats]]
    """The fields of one instrument: the position in the calendar of the first value, and the values."""

SHARE: Final = 0.05


def missing_values(fields: Fields, names: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the fields that lack many values: the name, the number of those, and the number of closes."""
    start, close = fields["close"]
    bars = ~np.isnan(close)
    count = int(bars.sum())
    for name in names:
        if name in fields:
            lacking = count - int((bars & _there(fields[name], start, len(close))).sum())
            if lacking > SHARE * count:
                yield name, lacking, count


def _there(field: tuple[int, Floats], start: int, days: int) -> NDArray[np.bool_]:
    """Return on which of the days after a start the field has a value."""
    first, values = field
    if first == start and len(values) == days:
        return ~np.isnan(values)
    there = np.zeros(days, bool)
    low, high = max(first, start), min(first + len(values), start + days)
    if low < high:
        there[low - start : high - start] = ~np.isnan(values[low - first : high - first])
    return there
