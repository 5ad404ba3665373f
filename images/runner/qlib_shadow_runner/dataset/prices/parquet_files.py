"""Read Parquet files, one column at a time and only the columns that are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qlib_shadow_runner.dataset.compressed import most_unpacked, unpacks_to_too_much
from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.process.memory_limit import require_memory
from qlib_shadow_runner.texts import format_size

SMALL: Final = 200_000
"""The most rows of a file that is kept in memory as a whole."""
KEYS: Final = ("date", "symbol")
LARGEST_FOOTER: Final = 16 << 20
"""Reading it takes some 30 times its size; 10,000 row groups of ten columns have 6 MiB."""
VALUE: Final = 8
NEEDED: Final = 40
"""The least bytes of memory for a row: its keys, its place, and one column in two forms."""

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class ParquetFile:
    """One Parquet file."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._held: pa.Table | None = None
        try:
            self._check_footer()
            with pq.ParquetFile(path) as file:
                self._schema = file.schema_arrow
                self._metadata = file.metadata
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            self._unreadable(error)
        self._rows = self._metadata.num_rows

    @property
    def header(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._schema.names)

    @staticmethod
    def where(row: int) -> str:
        """Return the number of a row for a message, counted from 1."""
        return f"row {row + 1}"

    def keys(self, columns: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """Return dates and symbols; a small file is read as a whole, which is cheaper than reopening it."""
        self._check_size(columns)
        small = self._rows <= SMALL
        table = self._read([name for role, name in columns.items() if small or role in KEYS])
        if small:
            self._held = table
        return table[columns["date"]], table[columns["symbol"]] if "symbol" in columns else None

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers."""
        values = self._read([column])[column]
        kind = values.type
        if pa.types.is_dictionary(kind):
            values = values.cast(kind.value_type)
        if pa.types.is_boolean(values.type) or pa.types.is_temporal(values.type):
            broken(self._name, f'has the type {kind} in the column "{column}"; numbers are needed there.')
        try:
            floats = values.cast(pa.float64(), safe=False)
        except pa.ArrowInvalid:
            self._not_a_number(values, column)
        except pa.ArrowNotImplementedError:
            broken(self._name, f'has the type {kind} in the column "{column}"; numbers are needed there.')
        return np.asarray(floats.to_numpy(), np.float64)

    def cells(self, column: str) -> pa.ChunkedArray:
        """Return a column as it is stored."""
        return self._read([column])[column]

    def _read(self, columns: list[str]) -> pa.Table:
        if self._held is not None:
            return self._held
        texts = [name for name in columns if _is_text(self._schema.field(name).type)]
        try:
            with pq.ParquetFile(self._path, read_dictionary=texts) as file:
                table = file.read(columns=columns)
            table.validate(full=bool(texts))  # the Parquet reader does not check a damaged file
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            self._unreadable(error)
        return table

    def _check_footer(self) -> None:
        """Refuse a file whose description of itself is larger than that of any prices, before it is read."""
        with self._path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 8))
            footer = int.from_bytes(stream.read(4), "little")
        if LARGEST_FOOTER < footer < size:
            broken(
                self._name,
                f"describes its columns and row groups in {format_size(footer)}; "
                f"{format_size(LARGEST_FOOTER)} is the most. Write fewer columns, or larger row groups.",
            )

    def _check_size(self, columns: Mapping[str, str]) -> None:
        """Refuse a file whose rows need more memory than there is, or than its size can explain."""
        most = most_unpacked(self._path.stat().st_size)
        values = self._rows * len(columns) * VALUE
        if values > most or self._unpacked_size(set(columns.values())) > most:
            broken(self._name, f"claims {self._rows:,} rows: {unpacks_to_too_much(most)} Write it again.")
        require_memory(self._rows * NEEDED, f"{self._name} with {self._rows:,} rows")

    def _unpacked_size(self, names: set[str]) -> int:
        groups = (self._metadata.row_group(number) for number in range(self._metadata.num_row_groups))
        chunks = (group.column(number) for group in groups for number in range(group.num_columns))
        return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in names)

    def _not_a_number(self, values: pa.ChunkedArray, column: str) -> NoReturn:
        for row, value in enumerate(values):
            try:
                value.cast(pa.float64())
            except pa.ArrowInvalid:
                broken(
                    self._name,
                    f'has "{cut(value)}" in the column "{column}", {self.where(row)}, which is not a number.',
                )

        broken(self._name, f'has a value that is not a number in the column "{column}".')

    def _unreadable(self, error: Exception) -> NoReturn:
        size = self._path.stat().st_size
        what = str(error).splitlines()[0].rstrip(".")
        broken(
            self._name,
            f"has {size:,} bytes and is not a whole Parquet file ({what}). "
            "Copy it again; rename it when the copy is done.",
        )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
