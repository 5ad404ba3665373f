"""Read CSV files, plain or gzipped; separators and byte order marks are detected, cell types are not.

A ticker `NA` stays a ticker, because the words for missing values apply only to columns of numbers.
"""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from qlib_shadow_runner.dataset.compressed import FAULTS, GZIP, Compressed, TooLarge, unpacked
from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.dataset.prices.other_columns import is_text_role
from qlib_shadow_runner.dataset.prices.wide_headers import header_of_rows
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SEPARATORS: Final = ",;\t|"
NOTHING: Final = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "-", "--")
NOT_UTF8: Final = "is not text in UTF-8 (Excel calls it: CSV UTF-8). Save it as that, or as Parquet."
HEAD: Final = 64 * 1024
LONGEST_LINE: Final = 1024 * 1024
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
                if len(head) == HEAD and b"\n" not in head:  # of a wide file with thousands of symbols
                    head += stream.read(LONGEST_LINE - HEAD)
        except FAULTS as error:
            self._unreadable(error)
        if not head.strip():
            broken(self._name, "is empty. Copy it again; rename it when the copy is done.")
        if head.startswith(GZIP):
            broken(
                self._name,
                "is compressed by gzip, once more than its name says. Rename it, or unpack it once.",
            )
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
            broken(self._name, NOT_UTF8)
        first, *rest = head.splitlines()
        if len(head) == LONGEST_LINE and not rest:
            broken(
                self._name,
                f"has a first line of more than {format_size(LONGEST_LINE)}. It must hold the names of the "
                "columns, and each other line one day of one symbol.",
            )
        try:
            return first.decode("utf-8-sig")
        except UnicodeDecodeError:
            broken(
                self._name, "has a first line that is not UTF-8. Save the file as CSV UTF-8, or as Parquet."
            )

    def _open(self) -> io.BufferedReader:
        stream = self._path.open("rb")
        gzipped = self._path.name.lower().endswith(".gz")
        return unpacked(stream, GZIP, self._path.stat().st_size) if gzipped else stream

    def _read(self, kinds: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return self._parse(kinds)
        except pa.ArrowInvalid as error:
            if "conversion error to double" in str(error):
                self._find_cell([name for name, kind in kinds.items() if kind is not TEXTS])
            self._unreadable(error)
        except FAULTS as error:
            self._unreadable(error)

    def _parse(self, kinds: Mapping[str, pa.DataType]) -> pa.Table:
        with self._open() as stream:
            # Arrow reads a file by its name faster than one that is open.
            source = stream if isinstance(stream.raw, Compressed) else str(self._path)
            return pacsv.read_csv(source, *self._options(kinds))

    def _options(
        self, kinds: Mapping[str, pa.DataType]
    ) -> tuple[pacsv.ReadOptions, pacsv.ParseOptions, pacsv.ConvertOptions]:
        return (
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
        """Raise an error about the first cell that is not a number, if there is one; read in parts."""
        options = self._options(dict.fromkeys(columns, pa.string()))
        row = 0
        try:
            with self._open() as stream, pacsv.open_csv(stream, *options) as parts:
                for part in parts:
                    for column in columns:
                        if (at := _first_word(part[column])) is not None:
                            self._not_a_number(part[column][at].as_py(), column, row + at)
                    row += len(part)
        except pa.ArrowInvalid as error:
            self._unreadable(error)

    def _not_a_number(self, word: str, column: str, row: int) -> NoReturn:
        hint = " Write decimals with a point and no separator of thousands." if "," in word else ""
        where = f'in the column "{column}", {self.where(row)}'
        broken(self._name, f'has "{cut(word)}" {where}, which is not a number.{hint}')

    def _unreadable(self, error: Exception) -> NoReturn:
        if isinstance(error, TooLarge):
            broken(self._name, f"is not read: {error} If it is right so, put it there unpacked.")
        if "invalid UTF8" in str(error):
            broken(self._name, f"{NOT_UTF8} {cut_line(str(error))}.")
        if "straddling object" in str(error):
            broken(
                self._name,
                f"has a line of more than {format_size(BLOCK)}. One line is one day of one symbol; "
                "the ends of the lines may be missing.",
            )
        broken(self._name, f"cannot be read as CSV: {cut_line(str(error))}. Correct it, or copy it again.")


def cut_line(message: str) -> str:
    """Return the first line of a library's message, cut to a readable length."""
    line = (message.splitlines() or ["unknown"])[0].rstrip(". ")
    return line if len(line) <= 160 else line[:159] + "…"  # noqa: PLR2004


def _unique(names: Sequence[str]) -> list[str]:
    """Return distinct names for columns that share a name; such columns are never read."""
    counts = Counter(names)
    return [name if counts[name] == 1 else f"{name}\0{place}" for place, name in enumerate(names)]


def _first_word(words: pa.Array) -> int | None:
    """Return the place of the first text that is not a number, or None."""
    try:
        pc.if_else(pc.is_in(words, pa.array(NOTHING)), None, words).cast(pa.float64())
    except pa.ArrowInvalid:
        return next(place for place, word in enumerate(words.to_pylist()) if not _is_number(word))
    return None


def _is_number(word: str) -> bool:
    if word in NOTHING:
        return True
    try:
        pa.scalar(word).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
