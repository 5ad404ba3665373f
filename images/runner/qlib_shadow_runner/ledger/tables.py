"""A book's tables as Parquet in its folder, for pandas, DuckDB or a spreadsheet.

They are made from the chain alone and nothing reads them here: one that is old, damaged or forged is
replaced, and one that is right is left as it is.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.rows import COLUMNS, rows_of
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.untrusted import TABLE, read_file, why_unreadable
from qlib_shadow_runner.storage.volume import make_own_folder

if TYPE_CHECKING:
    from pathlib import Path

TABLES: Final = "tables"
"""The folder of the tables in that of a book."""
KINDS: Final = {
    "text": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "moment": pa.timestamp("ms"),
}
SCHEMAS: Final = {
    table: pa.schema([(name, KINDS[kind]) for name, kind in columns.items()])
    for table, columns in COLUMNS.items()
}


def table_of(chain: Chain, table: str) -> pa.Table:
    """Return one of a book's tables."""
    return pa.Table.from_pylist(rows_of(chain, table), schema=SCHEMAS[table])


def write_tables(folder: Path) -> list[str]:
    """Make the tables of the book in a folder; return the names of those that were not as they should be."""
    chain = Chain.read(folder, scores=False)
    made = {name: _content(chain, name) for name in SCHEMAS}
    stale = [name for name, content in made.items() if _there(folder, name) != content]
    if stale:
        make_own_folder(folder / TABLES)
    for name in stale:
        write_atomically(folder / _file(name), made[name])
    return stale


def refresh_tables(folder: Path) -> str | None:
    """Make the tables after an entry; return why that was not possible, where it was not.

    The entry is what counts, so only an attempt that was superseded ends here.
    """
    try:
        write_tables(folder)
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


def _content(chain: Chain, name: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table_of(chain, name), buffer, compression="zstd")
    return buffer.getvalue()


def _there(folder: Path, name: str) -> bytes | None:
    """Return what lies where a table should; None where nothing can be read, which is replaced."""
    try:
        return read_file(folder, _file(name), TABLE)
    except OSError:
        return None


def _file(name: str) -> str:
    return f"{TABLES}/{name}.parquet"
