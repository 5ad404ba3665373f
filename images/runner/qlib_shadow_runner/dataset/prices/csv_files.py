"""Read CSV files, plain or gzipped; separators and byte order marks are detected, cell types are not.

A ticker `NA` stays a ticker, because the words for missing values apply only to columns of numbers.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.dataset.prices.other_columns import is_text_role
from qlib_shadow_runner.dataset.prices.wide_headers import header_of_rows

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SEPARATORS: Final = ",;\t|"
NOTHING: Final = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "-", "--")
NOT_UTF8: Final = "is not text in UTF-8 (Excel calls it: CSV UTF-8). Save it as that, or as Parquet."
HEAD: Final = 64 * 1024
BLOCK: Final = 4 * 1024 * 1024
TEXTS: Final = pa.dictionary(pa.int32(), pa.string())


class CsvFile:
    """One CSV file."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        line = self._first_line()
        self._separator = max(SEPARATORS, key=line.count)
        try:
            [names] = csv.reader([line], delimiter=self._separator)
        except csv.Error as error:
            self._unreadable(error)
        self._header, self._head_lines = [name.strip() for name in names], 1
        if wide := header_of_rows(self._header, self._separator, self._open):
            self._header, self._head_lines = wide
        self._table = pa.table({})

    @property
    def header(self) -> Sequence[str]:
        """Return the names of the columns."""
        return self._header

    def where(self, row: int) -> str:
        """Return the line of a row for a message; the header is line 1."""
        return f"line {row + 1 + self._head_lines}"

    def keys(self, columns: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """Return dates and symbols; all columns are read at once, because a CSV file is read as a whole."""
        kinds = {columns[role]: TEXTS if is_text_role(role) else pa.float64() for role in columns}
        self._table = self._read(kinds)
        return self._table[columns["date"]], self._table[columns["symbol"]] if "symbol" in columns else None

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers."""
        return np.asarray(self._table[column].to_numpy(), np.float64)

    def cells(self, column: str) -> pa.ChunkedArray:
        """Return a column as it was read."""
        return self._table[column]

    def _first_line(self) -> str:
        try:
            with self._open() as stream:
                head = stream.read(HEAD)
        except (OSError, EOFError, zlib.error) as error:
            self._unreadable(error)
        if not head.strip():
            broken(self._name, "is empty. Copy it again; rename it when the copy is done.")
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
            broken(self._name, NOT_UTF8)
        try:
            return head.splitlines()[0].decode("utf-8-sig")
        except UnicodeDecodeError:
            broken(
                self._name, "has a first line that is not UTF-8. Save the file as CSV UTF-8, or as Parquet."
            )

    def _open(self) -> io.BufferedIOBase:
        if self._path.name.lower().endswith(".gz"):
            return gzip.open(self._path, "rb")
        return self._path.open("rb")

    def _read(self, kinds: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return self._parse(kinds)
        except pa.ArrowInvalid as error:
            if "conversion error to double" in str(error):
                self._find_cell([name for name, kind in kinds.items() if kind is not TEXTS])
            self._unreadable(error)
        except (OSError, EOFError, zlib.error) as error:
            self._unreadable(error)

    def _parse(self, kinds: Mapping[str, pa.DataType]) -> pa.Table:
        compression = "gzip" if self._path.name.lower().endswith(".gz") else None
        with pa.input_stream(str(self._path), compression=compression) as stream:
            return pacsv.read_csv(
                stream,
                pacsv.ReadOptions(
                    column_names=_unique(self._header), skip_rows=self._head_lines, block_size=BLOCK
                ),
                pacsv.ParseOptions(delimiter=self._separator),
                pacsv.ConvertOptions(
                    column_types=dict(kinds),
                    include_columns=list(kinds),
                    null_values=list(NOTHING),
                    strings_can_be_null=False,
                ),
            )

    def _find_cell(self, columns: Sequence[str]) -> None:
        """Raise an error about the first cell that is not a number, if there is one."""
        table = self._read(dict.fromkeys(columns, TEXTS))
        for column in columns:
            encoded = table[column].unify_dictionaries().combine_chunks()
            words = encoded.dictionary.to_pylist()
            wrong = np.array([not _is_number(word) for word in words])[encoded.indices.to_numpy()]
            if wrong.any():
                row = int(wrong.argmax())
                word = words[encoded.indices[row].as_py()]
                hint = " Write decimals with a point and no separator of thousands." if "," in word else ""
                where = f'in the column "{column}", {self.where(row)}'
                broken(self._name, f'has "{cut(word)}" {where}, which is not a number.{hint}')

    def _unreadable(self, error: Exception) -> NoReturn:
        if "invalid UTF8" in str(error):
            broken(self._name, f"{NOT_UTF8} {cut_line(str(error))}.")
        broken(self._name, f"cannot be read as CSV: {cut_line(str(error))}. Correct it, or copy it again.")


def cut_line(message: str) -> str:
    """Return the first line of a library's message, cut to a readable length."""
    line = (message.splitlines() or ["unknown"])[0].rstrip(". ")
    return line if len(line) <= 160 else line[:159] + "…"  # noqa: PLR2004


def _unique(names: Sequence[str]) -> list[str]:
    """Return distinct names for columns that share a name; such columns are never read."""
    return [name if names.count(name) == 1 else f"{name}\0{place}" for place, name in enumerate(names)]


def _is_number(word: str) -> bool:
    if word in NOTHING:
        return True
    try:
        pa.scalar(word).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
