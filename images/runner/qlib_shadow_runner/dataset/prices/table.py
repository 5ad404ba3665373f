"""The interface of a file of prices, of whatever kind and shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Table(Protocol):
    """The interface of a file of prices."""

    @property
    def header(self) -> Sequence[str]:
        """Return the names of the columns."""

    def where(self, row: int) -> str:
        """Return a row's place for a message: its line in a text file, its number elsewhere."""

    def keys(self, columns: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """Return dates and symbols; `columns` are all columns that will be needed, by role."""

    def numbers(self, column: str) -> Floats:
        """Return a column of numbers, with NaN for missing values."""

    def cells(self, column: str) -> pa.ChunkedArray:
        """Return a column as it is stored, after the keys were read."""
