"""SQL over the catalog: one SELECT over a few views, with everything else of DuckDB disabled.

Files are opened here and passed on as Arrow data; DuckDB itself may open no file and no
address, load no extension, spill to no disk and change no setting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from qlib_shadow_runner.catalog.books import VIEWS as BOOK_VIEWS
from qlib_shadow_runner.catalog.books import book_tables, no_book_tables
from qlib_shadow_runner.catalog.followup import SCHEMA as FOLLOWUP_SCHEMA
from qlib_shadow_runner.catalog.model_uses import FIELDS, LiveSignals, models_of
from qlib_shadow_runner.catalog.returns import HORIZONS, Closes
from qlib_shadow_runner.catalog.signals_table import fault_of_content, signal_files, signals_of
from qlib_shadow_runner.catalog.tables import KINDS, RUNS_SCHEMA, as_table
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.escapes import shorten
from qlib_shadow_runner.dataset.fingerprint import is_text
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow.dataset as pa_dataset

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.catalog.update import Catalog
    from qlib_shadow_runner.storage.volume import Volume

CLOSED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
LOCK: Final = ("SET TimeZone = 'UTC'", "SET enable_external_access = false", "SET lock_configuration = true")
RETURNS_SCHEMA: Final = pa.schema(
    [
        ("dataset_path", pa.string()),
        ("date", pa.date32()),
        ("instrument", pa.string()),
        ("next_day", pa.float64()),
        *((f"return_{horizon}d", pa.float64()) for horizon in HORIZONS),
    ]
)
MODELS_SCHEMA: Final = pa.schema([(name, KINDS[kind]) for name, kind in FIELDS.items()])
TABLES: Final = {
    "runs": "SELECT * EXCLUDE (metrics, stamp) FROM given",
    "metrics": "SELECT run_id, entry.key AS name, entry.value AS value"
    " FROM (SELECT run_id, unnest(map_entries(metrics)) AS entry FROM given)",
    "followup": "SELECT * FROM given",
    "models": "SELECT * FROM given",
    "returns": "SELECT * FROM given",
    **dict.fromkeys(BOOK_VIEWS, "SELECT * FROM given"),
}
"""The views, and the SQL that makes each from the Arrow tables."""
SIGNALS: Final = (
    "CREATE VIEW signals AS SELECT s.*, r.dataset_path, s.date = r.universe_end AS live"
    " FROM signal_rows s JOIN runs r USING (run_id)"
)
VIEWS: Final = (*(name for name in TABLES if name not in BOOK_VIEWS), "signals", *BOOK_VIEWS)
ASKS_FOR_BOOKS: Final = re.compile(r"\b(books|ledger_\w+)\b", re.IGNORECASE)
ALLOWED: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
BATCH: Final = 10_000
MESSAGE_MAX: Final = 240
"""Characters of DuckDB's message: it lists every function of the same name."""


@dataclass(frozen=True)
class QueryResult:
    """The rows of a result."""

    columns: Sequence[str]
    rows: Iterator[Sequence[Any]]
    left_out: Mapping[Path, str]
    """The signal files and books that are missing or damaged, with what is wrong and what that means."""


def run_query(volume: Volume, catalog: Catalog, sql: str) -> QueryResult:
    """Return the result of one SELECT, or refuse it."""
    if not is_text(sql):
        raise StageError(Reason.INVALID_SPEC, "the query is not text in UTF-8")
    _refuse_all_but_one_select(sql)
    files = signal_files(volume, catalog.runs if re.search(r"\bsignals\b", sql, re.IGNORECASE) else [])
    unread: dict[Path, str] = {}
    connection = duckdb.connect(":memory:", config=CLOSED)
    runs = as_table(catalog.runs, RUNS_SCHEMA)
    followup = as_table(catalog.followup, FOLLOWUP_SCHEMA)
    models = [one.row() for one in models_of(catalog.runs, LiveSignals.of(catalog.runs, catalog.followup))]
    given = {
        "runs": runs,
        "metrics": runs,
        "followup": followup,
        "models": as_table(models, MODELS_SCHEMA),
        "returns": _returns(volume, catalog.runs, sql),
        **(book_tables(volume, unread) if ASKS_FOR_BOOKS.search(sql) else no_book_tables()),
    }
    for name, table in given.items():
        connection.register("given", table)
        connection.execute(f"CREATE TABLE {name} AS {TABLES[name]}")
        connection.unregister("given")
    connection.register("signal_rows", _whole(files))
    connection.execute(SIGNALS)
    for setting in LOCK:
        connection.execute(setting)
    first = _first_rows(connection, sql, files)
    columns = [str(column[0]) for column in connection.description or ()]
    left_out = {path: f"{fault}, so its run has no signals here" for path, fault in files.items() if fault}
    books = {path: f"{fault}, so it has no days here" for path, fault in unread.items()}
    return QueryResult(columns, _rows(connection, first), left_out | books)


def _first_rows(
    connection: duckdb.DuckDBPyConnection, sql: str, files: dict[Path, str | None]
) -> Sequence[Sequence[Any]]:
    """Start the query and return its first rows; a damaged file ends no query, but is left out of it.

    A footer does not show every damage. So if the query fails, or before it returns so many rows that it has
    not yet read every file, each file is read, and the query begins again without those that cannot be read.
    """
    failure: duckdb.Error | None = None
    try:
        first = connection.execute(sql).fetchmany(BATCH)
        if len(first) < BATCH:
            return first
    except duckdb.Error as error:
        failure = error
    broken = {path: fault for path in files if not files[path] and (fault := fault_of_content(path))}
    if failure and not broken:
        raise _query_error(failure) from failure
    files.update(broken)
    connection.unregister("signal_rows")
    connection.register("signal_rows", _whole(files))
    try:
        return connection.execute(sql).fetchmany(BATCH)
    except duckdb.Error as error:
        raise _query_error(error) from error


def _whole(files: Mapping[Path, str | None]) -> pa_dataset.Dataset:
    return signals_of([path for path, fault in files.items() if fault is None])


def _refuse_all_but_one_select(sql: str) -> None:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise _query_error(error) from error
    if len(statements) != 1:
        raise StageError(
            Reason.INVALID_SPEC, f"a query is one SELECT; this holds {len(statements) or 'no'} statements"
        )
    if statements[0].type not in ALLOWED:
        first = sql.split(maxsplit=1)[0].upper()
        raise StageError(
            Reason.INVALID_SPEC,
            f"a query only reads: it begins with SELECT, FROM, WITH or EXPLAIN, not {first}",
        )


def _rows(connection: duckdb.DuckDBPyConnection, first: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield from first
    if len(first) < BATCH:
        return
    try:
        while batch := connection.fetchmany(BATCH):
            yield from batch
    except duckdb.Error as error:
        raise _query_error(error) from error


def _query_error(error: duckdb.Error) -> StageError:
    """Return DuckDB's message in one line; if a table was not found, with the names of the views."""
    message = shorten(" ".join(str(error).partition("\n\nLINE ")[0].split()), MESSAGE_MAX)
    if isinstance(error, duckdb.PermissionException):
        message = f"a query reads the views and nothing else ({message})"
    hint = f"; there are the views {', '.join(VIEWS)}" if isinstance(error, duckdb.CatalogException) else ""
    return StageError(Reason.INVALID_SPEC, f"the query cannot be answered: {message}{hint}")


def _returns(volume: Volume, runs: Sequence[Row], sql: str) -> pa.Table:
    """Return the returns if the query names them, else an empty table."""
    if not re.search(r"\breturns\b", sql, re.IGNORECASE):
        return RETURNS_SCHEMA.empty_table()
    known = [run for run in runs if run["dataset_path"] and run["signals_first"]]
    tables = [_returns_of(volume, path, known) for path in sorted({run["dataset_path"] for run in known})]
    return pa.concat_tables([RETURNS_SCHEMA.empty_table(), *tables])


def _returns_of(volume: Volume, path: str, runs: Sequence[Row]) -> pa.Table:
    since = min(run["signals_first"] for run in runs if run["dataset_path"] == path)
    closes = Closes.of(volume, path, since)
    if closes is None:
        return RETURNS_SCHEMA.empty_table()
    days, symbols = len(closes.calendar), len(closes.symbols)
    here = ~np.isnan(closes.values).ravel()
    found = [closes.next_day(), *(closes.after(horizon) for horizon in HORIZONS)]
    columns = [
        pa.repeat(path, int(here.sum())),
        pa.array(closes.calendar, pa.date32()).take(pa.array(np.repeat(np.arange(days), symbols)[here])),
        pa.array(closes.symbols, pa.string()).take(pa.array(np.tile(np.arange(symbols), days)[here])),
        *(pa.array(values.ravel()[here], pa.float64(), from_pandas=True) for values in found),
    ]
    return pa.table(columns, schema=RETURNS_SCHEMA)
