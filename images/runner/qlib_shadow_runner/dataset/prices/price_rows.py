"""Read the rows of one file: the keys at once, the other columns on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from qlib_shadow_runner.dataset.prices.column_roles import map_columns
from qlib_shadow_runner.dataset.prices.csv_files import CsvFile
from qlib_shadow_runner.dataset.prices.dates import days_of, is_text
from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.other_columns import map_others, other_roles
from qlib_shadow_runner.dataset.prices.parquet_files import ParquetFile
from qlib_shadow_runner.dataset.prices.price_files import PARQUET, kind_of, stem
from qlib_shadow_runner.dataset.prices.wide_tables import unfolded
from qlib_shadow_runner.process.memory_limit import memory_ran_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from qlib_shadow_runner.contract.spec.price_files import PricesSpec
    from qlib_shadow_runner.dataset.prices.symbols import Symbols
    from qlib_shadow_runner.dataset.prices.table import Table

    Floats = NDArray[np.float64]

NO_SYMBOL: Final = (
    "has no symbol in {where}. Every row needs one; pandas reads a ticker such as NA as missing unless it is "
    "called with keep_default_na=False."
)


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
        try:
            return self.table.numbers(self.columns[role])
        except MemoryError as error:
            raise memory_ran_out(self.file) from error

    def where(self, row: int) -> str:
        """Return a row's place for a message."""
        return self.table.where(row)


def read_part(path: Path, name: str, options: PricesSpec, symbols: Symbols) -> PriceRows:
    """Return the rows of a file with their keys read."""
    try:
        return _read_part(path, name, options, symbols)
    except MemoryError as error:
        raise memory_ran_out(name) from error


def _read_part(path: Path, name: str, options: PricesSpec, symbols: Symbols) -> PriceRows:
    table = open_table(path, name)
    columns = columns_of(table, name, options)
    dates, tickers = table.keys(columns)
    days = days_of(dates, name, table.where, options.timezone)
    if tickers is None:
        [code] = symbols.codes([stem(path)], name)
        return PriceRows(name, days, np.full(len(days), code, np.int32), columns, table)
    return PriceRows(name, days, _codes(tickers, name, table.where, symbols), columns, table)


def open_table(path: Path, name: str) -> Table:
    """Return a file of either kind with its header read; a wide one has the form of a long one."""
    table: Table = (ParquetFile if kind_of(path) in PARQUET else CsvFile)(path, name)
    return unfolded(table, name)


def columns_of(table: Table, name: str, options: PricesSpec) -> dict[str, str]:
    """Return the file's column for every role that it has, those of other columns included."""
    others = map_others(table.header, other_roles(options), name)
    return {**map_columns(table.header, options.roles, name, others.values()), **others}


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
