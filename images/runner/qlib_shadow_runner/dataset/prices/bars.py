"""Decide which rows are bars; the other rows are left out and counted, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.contract.spec.price_files import BadRows, Duplicates
from qlib_shadow_runner.dataset.prices.column_roles import PRICES
from qlib_shadow_runner.dataset.prices.fault_texts import broken, listed
from qlib_shadow_runner.dataset.prices.fault_texts import rows as counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.contract.spec.price_files import PricesSpec
    from qlib_shadow_runner.dataset.prices.conversion_notes import Notes
    from qlib_shadow_runner.dataset.prices.grid import Grid
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

    Mask = NDArray[np.bool_]
    Places = NDArray[np.int64]

EXAMPLES: Final = 3
LEAST: Final = 1e-15
MOST: Final = 1e18
"""Values outside these limits may not fit into float32 after an adjustment."""


def bars_of(part: PriceRows, indices: Mask, names: Sequence[str], options: PricesSpec, notes: Notes) -> Mask:
    """Return which rows are bars; the symbols in `indices` are not traded and need no volume."""
    close, volume = part.numbers("close"), part.numbers("volume")
    index = indices[part.codes]
    traded = (volume > 0) | index
    notes.without_close += int(np.isnan(close).sum())
    notes.suspended += int((~traded & ~(volume < 0) & ~np.isnan(close)).sum())
    alive = ~np.isnan(close) & (traded | (volume < 0))
    bad = alive & _bad(part, volume)
    if bad.any():
        _count_bad(part, bad, names, options, notes)
    return alive & ~bad


def _bad(part: PriceRows, volume: NDArray[np.float64]) -> Mask:
    bad = (volume < 0) | (volume > MOST)
    for role in PRICES:
        if role in part.columns:
            values = part.numbers(role)
            bad |= (values < LEAST) | (values > MOST)
    return bad


def _count_bad(part: PriceRows, bad: Mask, names: Sequence[str], options: PricesSpec, notes: Notes) -> None:
    rows = np.flatnonzero(bad)
    examples = [f"{_key(part, int(row), names)} ({part.where(int(row))})" for row in rows[:EXAMPLES]]
    notes.rejected.add(len(rows), examples)
    if options.bad_rows is BadRows.REFUSE:
        broken(
            part.file,
            f"has {counted(len(rows))} with an impossible price or volume (zero, negative, infinite): "
            f"{listed(examples, len(rows))}. Correct them, or write badRows: drop to leave them out.",
        )


def check_duplicates(
    places: Sequence[Places],
    grid: Grid,
    names: Sequence[str],
    *,
    file: str | None,
    options: PricesSpec,
    notes: Notes,
) -> None:
    """Refuse a second bar for a symbol and day, or count it where the spec keeps the last one."""
    taken = np.zeros(grid.size, bool)
    for some in places:
        taken[some] = True
    if int(taken.sum()) == notes.bars:
        return
    seen = np.zeros(grid.size, np.uint32)
    for some in places:
        np.add.at(seen, some, 1)
    twice = np.flatnonzero(seen > 1)
    extra = int(seen[twice].astype(np.int64).sum()) - len(twice)
    examples = [_where(int(place), grid, names) for place in twice[:EXAMPLES]]
    notes.duplicates.add(extra, examples)
    if options.duplicates is Duplicates.REFUSE:
        where = f"{file} holds" if file else "the files together hold"
        broken(
            where,
            f"{counted(extra)} too many, with the symbol and day of another: {listed(examples, len(twice))}. "
            "One row is one day of one symbol; minute bars are not daily bars. "
            "Correct them, or write duplicates: last to keep the last of each.",
        )


def _where(place: int, grid: Grid, names: Sequence[str]) -> str:
    code = int(np.flatnonzero(grid.alive & (grid.heads < place))[-1])
    day = grid.days[int(grid.first[code]) + place - int(grid.heads[code]) - 1]
    return f"{names[code]} {np.datetime64(int(day), 'D')}"


def _key(part: PriceRows, row: int, names: Sequence[str]) -> str:
    return f"{names[part.codes[row]]} {np.datetime64(int(part.days[row]), 'D')}"
