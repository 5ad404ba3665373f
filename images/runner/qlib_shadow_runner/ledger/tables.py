"""A book's tables as Parquet in its folder, for pandas, DuckDB or a spreadsheet.

They are made from the chain alone and nothing reads them here: one that is old, damaged or forged is
replaced, and one that is right is left as it is.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.rows import COLUMNS, rows_by_day
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.untrusted import TABLE, read_file, why_unreadable
from qlib_shadow_runner.storage.volume import make_own_folder
from qlib_shadow_runner.tables.kinds import PLAIN_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.ledger.rows import Row

TABLES: Final = "tables"
"""The folder of the tables in that of a book."""
ROWS: Final = 20_000
"""Of a table that are in memory together: some days of a wide book, years of a narrow one."""
SCHEMAS: Final = {
    table: pa.schema([(name, PLAIN_KINDS[kind]) for name, kind in columns.items()])
    for table, columns in COLUMNS.items()
}


def tables_of(chain: Chain) -> dict[str, pa.Table]:
    """Return all of a book's tables."""
    parts: dict[str, list[pa.Table]] = {name: [schema.empty_table()] for name, schema in SCHEMAS.items()}
    for name, part in _parts(chain):
        parts[name].append(part)
    return {name: pa.concat_tables(found) for name, found in parts.items()}


def write_tables(folder: Path, chain: Chain | None = None) -> list[str]:
    """Make the tables of the book in a folder; return the names of those that were not as they should be.

    The chain is that of the folder, where the caller has read it already.
    """
    made = _contents(Chain.read(folder) if chain is None else chain)
    stale = [name for name, content in made.items() if not _is_there(folder, name, content)]
    if stale:
        make_own_folder(folder / TABLES)
    for name in stale:
        write_atomically(folder / _file(name), made[name])
    return stale


def refresh_tables(folder: Path, chain: Chain | None = None) -> str | None:
    """Make the tables after an entry; return why that was not possible, where it was not.

    The entry is what counts, so only an attempt that was superseded ends here.
    """
    try:
        write_tables(folder, chain)
    except StageError as error:
        if error.reason is Reason.SUPERSEDED:
            raise
        why = error.message
    except OSError as error:
        why = why_unreadable(error, folder)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"an entry has not the form of one ({type(error).__name__})"
    else:
        return None
    return f"the tables of the book were not made again: {why}"


def _contents(chain: Chain) -> dict[str, bytes]:
    """Return the bytes of each table's file, in row groups of some days."""
    buffers = {name: io.BytesIO() for name in SCHEMAS}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(pq.ParquetWriter(buffers[name], schema, compression="zstd"))
            for name, schema in SCHEMAS.items()
        }
        for name, part in _parts(chain):
            writers[name].write_table(part)
    return {name: buffer.getvalue() for name, buffer in buffers.items()}


def _parts(chain: Chain) -> Iterator[tuple[str, pa.Table]]:
    """Yield each table's rows in parts of some days; a table without rows has no part."""
    waiting: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for rows in rows_by_day(chain):
        for name, found in waiting.items():
            found.extend(rows[name])
            if len(found) >= ROWS:
                yield name, pa.Table.from_pylist(found, schema=SCHEMAS[name])
                found.clear()
    for name, found in waiting.items():
        if found:
            yield name, pa.Table.from_pylist(found, schema=SCHEMAS[name])


def _is_there(folder: Path, name: str, content: bytes) -> bool:
    """Return whether a table lies where it should; what cannot be read is replaced."""
    try:
        return read_file(folder, _file(name), TABLE) == content
    except OSError:
        return False


def _file(name: str) -> str:
    return f"{TABLES}/{name}.parquet"
