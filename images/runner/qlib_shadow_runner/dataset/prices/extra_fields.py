"""Take further columns of numbers into the dataset as they are: not adjusted, and never carried over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.other_columns import EXTRA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.grid import Grid
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Places = NDArray[np.int64]

LARGEST: Final = float(np.finfo(np.float32).max)


def extra_field(name: str, grid: Grid, parts: Sequence[tuple[PriceRows, Mask, Places]]) -> Floats:
    """Return the field on the grid, NaN on days without a value."""
    values = np.full(grid.size, np.nan)
    for part, bars, places in parts:
        own = part.numbers(EXTRA + name)
        wrong = bars & (np.abs(own) > LARGEST)
        if wrong.any():
            row = int(wrong.argmax())
            broken(
                part.file,
                f'has {own[row]:g} in the column "{part.columns[EXTRA + name]}", {part.where(row)}, which is '
                f"more than the dataset can hold ({LARGEST:.2g}). Leave the cell empty if there is no value.",
            )
        values[places] = own[bars]
    return values
