"""Give a wide table, with a column for each field of each symbol, the form of a long one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from qlib_shadow_runner.dataset.prices.column_roles import ROLES
from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.dataset.prices.other_columns import is_text_role
from qlib_shadow_runner.dataset.prices.wide_headers import pairs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.prices.table import Table
    from qlib_shadow_runner.dataset.prices.wide_headers import Pair

    Floats = NDArray[np.float64]

SYMBOL: Final = "symbol"


def unfolded(table: Table, file: str) -> Table:
    """Return a long form of the table where it is wide, else the table itself."""
    pairs = pairs_of(table.header)
    if len({pair.column for pair in pairs}) < len(pairs):
        twice = next(pair for number, pair in enumerate(pairs) if pair in pairs[:number])
        broken(file, f"has two columns for {cut(twice.field)} of {cut(twice.symbol)}. Leave one of them.")
    return WideTable(table, pairs) if pairs else table


class WideTable:
    """One row for each day and symbol that has a value, symbol after symbol."""

    def __init__(self, table: Table, pairs: Sequence[Pair]) -> None:
        self._table = table
        self._symbols = list(dict.fromkeys(pair.symbol for pair in pairs))
        self._columns = {(pair.field, pair.symbol): pair.column for pair in pairs}
        paired = set(self._columns.values())
        single = [name for name in table.header if name not in paired]
        self._header = [*single, SYMBOL, *dict.fromkeys(pair.field for pair in pairs)]
        self._rows = [np.empty(0, np.int64)]

    @property
    def header(self) -> Sequence[str]:
        """Return the names of the columns of the long form."""
        return self._header

    def where(self, row: int) -> str:
        """Return the place of a row in the file, with its symbol."""
        for symbol, rows in zip(self._symbols, self._rows, strict=True):
            if row < len(rows):
                return f"{self._table.where(int(rows[row]))} of {symbol}"
            row -= len(rows)
        return self._table.where(row)

    def keys(self, columns: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """Return dates and symbols of the days on which a symbol has any value."""
        wanted = {
            f"{role}\0{symbol}": name
            for role, field in columns.items()
            for symbol in self._symbols
            if (name := self._columns.get((field, symbol)))
        }
        dates, _ = self._table.keys({"date": columns["date"], **wanted})
        fields = [field for role, field in columns.items() if role in ROLES and not is_text_role(role)]
        self._rows = [self._days_with_a_value(symbol, fields, len(dates)) for symbol in self._symbols]
        numbers = np.repeat(np.arange(len(self._symbols), dtype=np.int32), [len(rows) for rows in self._rows])
        symbols = pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(self._symbols))
        return dates.take(pa.array(np.concatenate(self._rows))), pa.chunked_array([symbols])

    def numbers(self, column: str) -> Floats:
        """Return a field of all symbols, with NaN where a symbol has no such column."""
        return np.concatenate(
            [
                self._table.numbers(name)[rows]
                if (name := self._columns.get((column, symbol)))
                else np.full(len(rows), np.nan)
                for symbol, rows in zip(self._symbols, self._rows, strict=True)
            ]
        )

    def cells(self, column: str) -> pa.ChunkedArray:
        """Return a field of all symbols as it is stored; null where a symbol has no such column."""
        parts = [
            self._table.cells(name).take(pa.array(rows)).cast(pa.string())
            if (name := self._columns.get((column, symbol)))
            else pa.chunked_array([pa.nulls(len(rows), pa.string())])
            for symbol, rows in zip(self._symbols, self._rows, strict=True)
        ]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())

    def _days_with_a_value(self, symbol: str, fields: Sequence[str], days: int) -> NDArray[np.int64]:
        there = np.zeros(days, bool)
        for field in fields:
            if name := self._columns.get((field, symbol)):
                there |= ~np.isnan(self._table.numbers(name))
        return np.flatnonzero(there)
