"""Write arrays to files in Qlib's layout."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.qlib_layout import ALL, BIN_SUFFIX, CALENDAR, feature_folder, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.grid import Grid

    Floats = NDArray[np.float64]


WRITERS: Final = 4
"""The number of threads, because creating a file on a network volume is mostly waiting."""


def _write_whole(path: str, content: memoryview) -> None:
    """Write one whole file; a nearly full disk may accept only a part in one write."""
    try:
        with open(path, "wb", buffering=0) as stream:  # noqa: PTH123 - faster for many files
            rest = content
            while rest:
                rest = rest[stream.write(rest) :]
        size = os.stat(path).st_size  # noqa: PTH116 - faster for many files
    except OSError as error:
        error.filename = path
        raise
    if size != len(content):
        raise invalid(
            Path(path), f"has {size} bytes of {len(content)} that were written; the volume lost some."
        )


class Writer:
    """Writes the fields and lists of one dataset."""

    def __init__(self, folder: Path, grid: Grid, names: Sequence[str]) -> None:
        self._grid = grid
        self._folder = folder
        self._names = names
        self._codes = [int(code) for code in np.flatnonzero(grid.alive)]
        self._homes = [str(folder / "features" / feature_folder(names[code])) for code in self._codes]
        for home in self._homes:
            os.makedirs(home)  # noqa: PTH103 - faster for many files

    def field(self, field: str, values: Floats) -> None:
        """Write one field of every symbol."""
        grid = self._grid
        content = values.astype("<f4")
        content[np.isnan(content)] = np.nan  # one bit pattern for every NaN
        content[grid.heads[grid.alive]] = grid.first[grid.alive]

        def write(some: slice) -> None:
            for code, home in zip(self._codes[some], self._homes[some], strict=True):
                start = int(grid.heads[code])
                piece = content[start : start + int(grid.lengths[code])]
                _write_whole(f"{home}/{field}{BIN_SUFFIX}", piece.data.cast("B"))

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, [slice(first, None, WRITERS) for first in range(WRITERS)]))

    def calendar_and_universes(self, universe: str, indices: NDArray[np.bool_]) -> None:
        """Write the calendar, the list `all`, and the list of the symbols that can be held."""
        days = [str(day) for day in self._grid.days.astype("datetime64[D]")]
        self._text(self._folder / CALENDAR, days)
        order = sorted(self._codes, key=lambda code: self._names[code])
        first, last = self._grid.first, self._grid.last
        lines = {code: f"{self._names[code]}\t{days[first[code]]}\t{days[last[code]]}" for code in order}
        instruments = self._folder / "instruments"
        self._text(instruments / f"{ALL}.txt", list(lines.values()))
        self._text(instruments / f"{universe}.txt", [lines[code] for code in order if not indices[code]])

    def universe(self, name: str, spans: Sequence[tuple[int, int, int]]) -> None:
        """Write a list with the periods of its symbols, each given by symbol, first and last day."""
        days = [str(day) for day in self._grid.days.astype("datetime64[D]")]
        lines = sorted((self._names[code], days[first], days[last]) for code, first, last in spans)
        self._text(self._folder / "instruments" / f"{name}.txt", ["\t".join(line) for line in lines])

    @staticmethod
    def _text(path: Path, lines: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
