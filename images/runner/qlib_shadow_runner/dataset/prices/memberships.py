"""Make universes of columns that say, day by day, whether a symbol belongs to one.

A day without a bar says nothing: a stock that is suspended stays where it was the day before. An empty cell
is a day outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.column_roles import WHERE
from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.dataset.prices.other_columns import MEMBERSHIP
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.grid import Grid
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

    Mask = NDArray[np.bool_]
    Places = NDArray[np.int64]

INSIDE: Final = frozenset({"true", "t", "yes", "y", "1", "1.0"})
OUTSIDE: Final = frozenset({"false", "f", "no", "n", "0", "0.0", "", "nan", "none", "null", "na"})


def members(part: PriceRows, universe: str) -> Mask:
    """Return which rows of a file say that their symbol belongs to the universe."""
    role = MEMBERSHIP + universe
    if role not in part.columns:
        return np.zeros(len(part.days), bool)
    column = part.table.cells(part.columns[role])
    encoded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    words = [str(word).strip().lower() for word in encoded.dictionary.to_pylist()]
    codes = np.asarray(encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False), np.int64)
    wrong = np.array([word not in INSIDE | OUTSIDE for word in words] + [False])[codes]
    if wrong.any():
        row = int(wrong.argmax())
        broken(
            part.file,
            f'has "{cut(words[codes[row]])}" in the column "{part.columns[role]}", {part.where(row)}; '
            "whether a symbol belongs to a universe is written true or false, or 1 or 0.",
        )
    return np.array([word in INSIDE for word in words] + [False])[codes]


def spans(
    universe: str, grid: Grid, parts: Sequence[tuple[PriceRows, Mask, Places]], held: Mask
) -> list[tuple[int, int, int]]:
    """Return symbol, first and last day of each period in the universe, as numbers of the grid."""
    inside, bars = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    for part, mask, places in parts:
        inside[places] = members(part, universe)[mask]
        bars[places] = True
    found = [
        span for code in np.flatnonzero(held & grid.alive) for span in _periods(grid, int(code), bars, inside)
    ]
    if not found:
        refuse(
            f'{WHERE}.universes: no bar of a symbol that can be held is in "{universe}"',
            Reason.DATASET_INVALID,
        )
    return found


def _periods(grid: Grid, code: int, bars: Mask, inside: Mask) -> Iterator[tuple[int, int, int]]:
    start = int(grid.heads[code]) + 1
    own = slice(start, start + int(grid.lengths[code]) - 1)
    days = np.flatnonzero(bars[own])
    edges = np.diff(np.concatenate([[0], inside[own][days].astype(np.int8), [0]]))
    for begin, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        first = int(grid.first[code])
        yield code, first + int(days[begin]), first + int(days[end - 1])
