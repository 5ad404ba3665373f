"""Read the rows of one file: the keys at once, the other columns on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa

from qlib_shadow_runner.dataset.prices.column_roles import map_columns
from qlib_shadow_runner.dataset.prices.csv_files import CsvFile
from qlib_shadow_runner.dataset.prices.dates import days_of, is_text
from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.parquet_files import ParquetFile
from qlib_shadow_runner.dataset.prices.price_files import PARQUET, kind_of, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.symbols import Symbols

    Floats = NDArray[np.float64]

NO_SYMBOL: Final = (
    "has no symbol in {where}. Every row needs one; pandas reads a ticker such as NA as missing unless it is "
    "called with keep_default_na=False."
)


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


@dataclass(frozen=True)
class PriceRows:
    """The rows of one file."""

    file: str
    days: NDArray[np.int32]
    codes: NDArray[np.int32]
    columns: Mapping[str, str]
    table: Table

    def numbers(self, role: str) -> Floats:
        """Return a column by its role; all NaN where the file has no such column."""
        if role not in self.columns:
            return np.full(len(self.days), np.nan)
        return self.table.numbers(self.columns[role])

    def where(self, row: int) -> str:
        """Return a row's place for a message."""
        return self.table.where(row)


def read_part(path: Path, name: str, wanted: Mapping[str, str], symbols: Symbols) -> PriceRows:
    """Return the rows of a file with their keys read."""
    table: Table = (ParquetFile if kind_of(path) in PARQUET else CsvFile)(path, name)
    columns = map_columns(table.header, wanted, name)
    dates, tickers = table.keys(columns)
    days = days_of(dates, name, table.where)
    if tickers is None:
        [code] = symbols.codes([stem(path)], name)
        return PriceRows(name, days, np.full(len(days), code, np.int32), columns, table)
    return PriceRows(name, days, _codes(tickers, name, table.where, symbols), columns, table)


def _codes(
    column: pa.ChunkedArray, file: str, where: Callable[[int], str], symbols: Symbols
) -> NDArray[np.int32]:
    if column.null_count:
        broken(file, NO_SYMBOL.format(where=where(int(np.asarray(column.is_null()).argmax()))))
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        broken(file, f"has symbols of the type {kind}; write them as text.")
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    known: list[Any] = encoded.dictionary.to_pylist()
    indices = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int32)
    used = np.bincount(indices, minlength=len(known)) > 0  # a dictionary may hold values that no row has
    numbered = np.full(len(known), -1, np.int32)
    numbered[used] = symbols.codes([value for value, here in zip(known, used, strict=True) if here], file)
    return numbered[indices]
