"""The catalog's tables on the volume: read if they are complete, and replaced by rename under one lock.

The holder of the lock reads the run folders again. So if two runs end together, the one that writes last
includes the other, and nothing is appended to a file that a crash may have truncated.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from qlib_shadow_runner.catalog.rows import STAMP, by_run, scan
from qlib_shadow_runner.catalog.run_columns import COLUMNS, Row
from qlib_shadow_runner.runs.listing import artifacts_root
from qlib_shadow_runner.storage import untrusted_tables
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.lock import WaitOptions, locked
from qlib_shadow_runner.storage.untrusted import GIB
from qlib_shadow_runner.storage.untrusted_tables import TableLimits
from qlib_shadow_runner.tables.kinds import PLAIN_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

CATALOG: Final = "catalog"
"""No run may have this name: see contract.RESERVED_RUN_IDS."""
RUNS: Final = "runs.parquet"
VERSION: Final = b"1"
"""A catalog of another version is made again."""
VERSION_KEY: Final = b"qlib_shadow_catalog"
KINDS: Final = {**PLAIN_KINDS, "figures": pa.map_(pa.string(), pa.float64())}
RUNS_SCHEMA: Final = pa.schema(
    [*((column.name, KINDS[column.kind]) for column in COLUMNS), (STAMP, pa.string())]
)
LIMITS: Final = TableLimits(rows=2_000_000, size=2 * GIB)
"""63 rows of the followup for each of 30,000 runs."""
LOCK_TIMEOUT: Final = 60.0
"""Seconds; a catalog of thousands of runs is written in a few."""


def catalog_folder(volume: Volume) -> Path:
    """Return the folder of the tables."""
    return artifacts_root(volume) / CATALOG


def current_runs(volume: Volume) -> list[Row]:
    """Return the rows of the run folders as they are now, without writing."""
    return scan(volume, by_run(read_table(catalog_folder(volume) / RUNS, RUNS_SCHEMA)))


def refresh_runs(volume: Volume) -> list[Row]:
    """Write the table of runs if it has changed, and return its rows; the caller holds the lock."""
    path = catalog_folder(volume) / RUNS
    before = read_table(path, RUNS_SCHEMA)
    rows = scan(volume, by_run(before))
    if rows != before:
        write_table(path, rows, RUNS_SCHEMA)
    return rows


@contextlib.contextmanager
def catalog_lock(volume: Volume, lock_timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock for writing the catalog."""
    with locked(catalog_folder(volume) / CATALOG, WaitOptions(limit=lock_timeout, log=lambda _line: None)):
        yield


def read_table(path: Path, schema: pa.Schema) -> list[Row]:
    """Return the rows of a table."""
    return [_as_written(row, schema) for row in read_arrow(path, schema).to_pylist()]


def read_arrow(path: Path, schema: pa.Schema) -> pa.Table:
    """Return a table; one that is missing, damaged or of another version is empty."""
    nothing = schema.empty_table()
    try:
        table = untrusted_tables.read_table(
            path.parents[1], f"{path.parent.name}/{path.name}", schema, LIMITS
        )
    except OSError:  # it is made again
        return nothing
    return table if (table.schema.metadata or {}).get(VERSION_KEY) == VERSION else nothing


def write_table(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    """Replace a table."""
    buffer = io.BytesIO()
    pq.write_table(
        as_table(rows, schema).replace_schema_metadata({VERSION_KEY: VERSION}), buffer, compression="zstd"
    )
    write_atomically(path, buffer.getvalue())


def as_table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Return the rows as an Arrow table."""
    return pa.Table.from_pylist(rows, schema=schema)


def _as_written(row: Row, schema: pa.Schema) -> Row:
    """Return a row in which Arrow's lists of pairs are mappings again."""
    maps = {field.name for field in schema if pa.types.is_map(field.type)}
    return {name: dict(value or ()) if name in maps else value for name, value in row.items()}
