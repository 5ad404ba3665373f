"""Find closes that moved by a whole multiple, as a split that nothing adjusts for moves them.

Where the source delivers adjusted closes or factors, it says itself which moves are splits: then a close that
still moves so is a real move. Without notes of a conversion, an instrument is adjusted if its factor moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.contract.spec.price_files import Adjust

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.quality.values import Fields

    Jumps = tuple[str, int, NDArray[np.bool_]]
    """An instrument, the position in the calendar of its first day, and on which days it jumped."""

MULTIPLES: Final = np.array([2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100], np.float64)
TOLERANCE: Final = 0.04
FACTOR_MOVED: Final = 0.01
DELIVERED: Final = (Adjust.FACTOR, Adjust.ADJ_CLOSE)


class SplitJumps:
    """The jumps of the instruments of one dataset, and whether any of them is adjusted."""

    def __init__(self) -> None:
        self._jumps: list[Jumps] = []
        self._adjusts = False

    def add(self, name: str, fields: Fields) -> None:
        """Take the jumps of one instrument whose factor never moves."""
        start, close = fields["close"]
        here = np.flatnonzero(~np.isnan(close))
        if _factor_moves(fields):
            self._adjusts = True
            return
        prices = close[here].astype(np.float64)
        ratio = prices[1:] / prices[:-1]
        size = np.maximum(ratio, 1 / ratio)
        if not (size > MULTIPLES[0] * (1 - TOLERANCE)).any():  # the usual case: no jump to examine
            return
        middles = (MULTIPLES[1:] + MULTIPLES[:-1]) / 2
        nearest = MULTIPLES[np.clip(np.searchsorted(middles, size), 0, len(MULTIPLES) - 1)]
        marks = np.zeros(len(close), bool)
        marks[here[1:]] = np.abs(size / nearest - 1) < TOLERANCE
        self._jumps.append((name, start, marks))

    def found(self, adjusted_by: str, unadjusted: Container[str]) -> Iterator[Jumps]:
        """Yield the jumps that may be splits; a source whose factors never move adjusts nothing."""
        believed = adjusted_by in DELIVERED and self._adjusts
        for name, start, marks in self._jumps:
            if not believed or name in unadjusted:
                yield name, start, marks


def _factor_moves(fields: Fields) -> bool:
    if "factor" not in fields:
        return False
    factor = fields["factor"][1]  # fmax and fmin ignore NaN
    return bool(np.fmax.reduce(factor) / np.fmin.reduce(factor) - 1 > FACTOR_MOVED)
