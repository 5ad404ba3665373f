"""Parquet, a column at a time: what is not asked for is not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qlib_shadow_runner.dataset.prices.faults import broken, cut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class ParquetFile:
    """One Parquet file."""

    first_row = 1

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        try:
            with pq.ParquetFile(path) as file:
                self._schema = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            self._unreadable(error)

    @property
    def header(self) -> list[str]:
        """Give the names of the columns."""
        return list(self._schema.names)

    def keys(self, columns: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """Read dates and symbols; texts as numbers into a list of what occurs."""
        wanted = [columns[role] for role in ("date", "symbol") if role in columns]
        table = self._read(wanted)
        return table[columns["date"]], table[columns["symbol"]] if "symbol" in columns else None

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Read a column of numbers."""
        values = self._read([column])[column]
        kind = values.type
        if pa.types.is_dictionary(kind):
            values = values.cast(kind.value_type)
        try:
            if pa.types.is_boolean(values.type) or pa.types.is_temporal(values.type):
                raise pa.ArrowNotImplementedError
            floats = values.cast(pa.float64(), safe=False)
        except pa.ArrowInvalid:
            self._not_a_number(values, column)
        except pa.ArrowNotImplementedError:
            broken(self._name, f'has the type {kind} in the column "{column}"; numbers are needed there.')
        return np.asarray(floats.to_numpy(), np.float64)

    def _read(self, columns: list[str]) -> pa.Table:
        texts = [name for name in columns if _is_text(self._schema.field(name).type)]
        try:
            with pq.ParquetFile(self._path, read_dictionary=texts) as file:
                return file.read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            self._unreadable(error)

    def _not_a_number(self, values: pa.ChunkedArray, column: str) -> None:
        for row, value in enumerate(values):
            try:
                value.cast(pa.float64())
            except pa.ArrowInvalid:
                broken(self._name, f'has "{cut(value)}" in the column "{column}", line {row + self.first_row}, which is not a number.')

    def _unreadable(self, error: Exception) -> None:
        size = self._path.stat().st_size
        what = str(error).splitlines()[0].rstrip(".")
        broken(self._name, f"has {size:,} bytes and is no whole Parquet file: {what}. Copy it again, and rename it when the copy is done.")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
