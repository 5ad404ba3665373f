"""Find what would stay unadjusted beside adjusted prices: whole files, and symbols without any value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.prices.fault_texts import broken, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.grid import Grid
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

    Mask = NDArray[np.bool_]

EXAMPLES: Final = 3


def check_files(by: str, parts: Sequence[tuple[PriceRows, Mask]], indices: Mask) -> None:
    """Refuse a file without the column of the adjustment that others have; files of benchmarks need none."""
    lacking = [
        part.file for part, bars in parts if by not in part.columns and (bars & ~indices[part.codes]).any()
    ]
    if lacking:
        others = f" (so do {listed(lacking[1 : 1 + EXAMPLES], len(lacking) - 1)})" if lacking[1:] else ""
        broken(
            lacking[0],
            f"lacks the column {by}{others}, and other files have it: its splits and dividends would stay in "
            "the prices. Add the column, with the close itself where nothing is to be adjusted, or write "
            "adjust: none.",
        )


def symbols_without(values: NDArray[np.float64], grid: Grid, held: Mask) -> list[int]:
    """Return the symbols that can be held and have no value of the adjustment at all."""
    codes = np.flatnonzero(held & grid.alive)
    doubtful = codes[np.isnan(values[grid.heads[codes] + 1])]  # the others have one on their first day
    return [int(code) for code in doubtful if np.isnan(_own(values, grid, code)).all()]


def _own(values: NDArray[np.float64], grid: Grid, code: int) -> NDArray[np.float64]:
    start = int(grid.heads[code])
    return values[start : start + int(grid.lengths[code])]
