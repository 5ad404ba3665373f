"""Read a Parquet file that another run may have written, within limits of rows and bytes.

A few kilobytes of Parquet can hold gigabytes: a value that repeats is stored once. So the footer is compared
with the expected columns and with the limits before anything is decoded, and texts are decoded into
dictionaries, which hold each value once, to see how large they would be.

Needs pyarrow, and is imported only by what reads tables.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.untrusted import GIB, MIB, TABLE, fault_of, open_file
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

MAGIC: Final = b"PAR1"
"""The first and last bytes of a complete Parquet file."""
INCOMPLETE: Final = "is not a complete Parquet file"
FOOTER_MOST: Final = 64 * MIB
TAIL: Final = 8
"""The bytes after the footer: its length in four, and the magic."""
WORST_MOST: Final = GIB
"""The bytes that texts may have in the worst case, so that they need not be looked at."""
TEXT: Final = "BYTE_ARRAY"
"""Parquet's name of the type of texts."""
UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What pyarrow raises for a damaged file."""


@dataclass(frozen=True)
class TableLimits:
    """What a table of one kind has at most."""

    rows: int
    size: int
    """The bytes of its decoded values."""


def read_table(root: Path, name: str, schema: pa.Schema, limits: TableLimits) -> pa.Table:
    """Return a table of exactly these columns; raises as `open_file`, also where it is too large."""
    with open_file(root, name, TABLE) as stream:
        found = _table_or_fault(stream, lambda _: schema, limits)
    if isinstance(found, str):
        raise DamagedFileError(root / name, found)
    return found


def decode_table(
    content: bytes, schema_for: Callable[[list[str]], pa.Schema], limits: TableLimits
) -> pa.Table:
    """Return the table in the content of a file; raises ValueError where it is none, or too large.

    The columns that it should have may depend on the names of those that it has.
    """
    found = _table_or_fault(io.BytesIO(content), schema_for, limits)
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - what is wrong, in words
    return found


def table_fault(root: Path, name: str, schema: pa.Schema, limits: TableLimits) -> str | None:
    """Return why a table is none of these columns within the limits, from its footer; None if it is one.

    Its texts are looked at only where few bytes may hold many of them.
    """
    try:
        with open_file(root, name, TABLE) as stream:
            fault = _footer_fault(stream, schema, limits)
            if fault is None and _texts_may_be_large(stream):
                fault = _texts_fault(stream, limits)
    except (DamagedFileError, FileNotFoundError, PermissionError) as error:
        return fault_of(error)
    except UNREADABLE as error:
        return _unreadable(error)
    return fault


def _table_or_fault(
    stream: BinaryIO, schema_for: Callable[[list[str]], pa.Schema], limits: TableLimits
) -> pa.Table | str:
    try:
        if not _is_complete(stream):
            return INCOMPLETE
        schema = schema_for(_opened(stream).schema_arrow.names)
        fault = _footer_fault(stream, schema, limits) or _texts_fault(stream, limits)
        if fault is None:
            table = _opened(stream).read()
            table.validate(full=True)  # the bytes of a text may be none
    except UNREADABLE as error:
        return _unreadable(error)
    return table if fault is None else fault


def _footer_fault(stream: BinaryIO, schema: pa.Schema, limits: TableLimits) -> str | None:
    if not _is_complete(stream):
        return INCOMPLETE
    file = _opened(stream)
    if not file.schema_arrow.equals(schema):
        return f"has the columns {', '.join(file.schema_arrow.names)[:200]}, not those that it should have"
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    rows = max(file.metadata.num_rows, sum(group.num_rows for group in groups))
    if rows > limits.rows:
        return f"has {rows:,} rows; it may have {limits.rows:,}"
    size = sum(max(chunk.total_uncompressed_size, 4 * chunk.num_values) for chunk in _chunks(file))
    return _too_large(size, "values", limits)


def _is_complete(stream: BinaryIO) -> bool:
    """Return whether a file begins and ends as Parquet does, and its footer is of a sensible size."""
    stream.seek(0)
    head = stream.read(len(MAGIC))
    if stream.seek(0, 2) < len(MAGIC) + TAIL:
        return False
    stream.seek(-TAIL, 2)
    tail = stream.read()
    footer = int.from_bytes(tail[: -len(MAGIC)], "little")
    return head == tail[-len(MAGIC) :] == MAGIC and footer <= FOOTER_MOST


def _texts_may_be_large(stream: BinaryIO) -> bool:
    """Return whether the texts could have many bytes, if each were as long as all of its pages together."""
    worst = [
        chunk.num_values * chunk.total_uncompressed_size
        for chunk in _chunks(_opened(stream))
        if chunk.physical_type == TEXT
    ]
    return bool(sum(worst) > WORST_MOST)


def _texts_fault(stream: BinaryIO, limits: TableLimits) -> str | None:
    """Return whether the texts have too many bytes; they are decoded with each value once."""
    schema = _opened(stream).schema
    columns = map(schema.column, range(len(schema)))
    texts = [column.path for column in columns if column.physical_type == TEXT]
    found = _opened(stream, texts).read(columns=texts) if texts else pa.table({})
    size = sum(
        pc.sum(pc.binary_length(part.dictionary).take(part.indices)).as_py() or 0
        for column in found.columns
        for chunk in column.chunks
        for part in _dictionaries(chunk)
    )
    return _too_large(size, "texts", limits)


def _too_large(size: int, what: str, limits: TableLimits) -> str | None:
    if size <= limits.size:
        return None
    return f"has {format_size(size)} of {what}; it may have {format_size(limits.size)}"


def _chunks(file: pq.ParquetFile) -> Iterator[pq.ColumnChunkMetaData]:
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        yield from map(group.column, range(group.num_columns))


def _dictionaries(array: pa.Array) -> Iterator[pa.DictionaryArray]:
    """Yield the texts in an array, those in lists, maps and structures too."""
    if pa.types.is_dictionary(array.type):
        yield array
    elif pa.types.is_nested(array.type):
        inner = array.flatten()
        for part in inner if isinstance(inner, list) else [inner]:
            yield from _dictionaries(part)


def _opened(stream: BinaryIO, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    stream.seek(0)
    return pq.ParquetFile(pa.PythonFile(stream, mode="r"), read_dictionary=dictionaries)


def _unreadable(error: BaseException) -> str:
    return f"cannot be read as a table ({' '.join(str(error).split())[:200]})"
