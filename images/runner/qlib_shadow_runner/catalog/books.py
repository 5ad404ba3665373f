"""The books of a volume as tables for SQL, and the dataset that a book follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from qlib_shadow_runner.catalog.book_sources import dataset_at
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.entries import LEDGERS
from qlib_shadow_runner.ledger.overview import Overview, books, overview, overview_and_chain
from qlib_shadow_runner.ledger.tables import SCHEMAS, tables_of
from qlib_shadow_runner.runs import values
from qlib_shadow_runner.runs.listing import artifacts_root
from qlib_shadow_runner.storage.untrusted import why_unreadable
from qlib_shadow_runner.tables.kinds import PLAIN_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.storage.volume import Volume

PREFIX: Final = "ledger_"
BOOKS: Final = "books"
FIELDS: Final = {
    "namespace": "text",
    "book": "text",
    "state": "text",
    "sentence": "text",
    "decided": "day",
    "decision": "text",
    "late": "flag",
    "reconciled": "day",
    "run_id": "text",
    "era": "whole",
    "capital": "number",
    "nav": "number",
    "cash": "number",
    "gross": "number",
    "names": "whole",
    "pnl": "number",
    "day_return": "number",
    "drawdown": "number",
    "turnover": "number",
    "traded": "number",
    "costs": "number",
    "gates_closed": "whole",
    "late_days": "whole",
    "missed_days": "whole",
    "days_counted": "whole",
    "total_return": "number",
    "benchmark_return": "number",
    "beyond_promise": "flag",
    "head": "text",
    "entries": "whole",
}
BOOKS_SCHEMA: Final = pa.schema([(name, PLAIN_KINDS[kind]) for name, kind in FIELDS.items()])
VIEWS: Final = (BOOKS, *(f"{PREFIX}{name}" for name in SCHEMAS))


def ledgers_folder(volume: Volume) -> Path:
    """Return the folder of all books."""
    return artifacts_root(volume) / LEDGERS


def dataset_of(volume: Volume, folder: Path) -> Dataset | None:
    """Return the dataset that the last run of a book named; None where it is not on the volume."""
    try:
        last = Chain.read(folder).entries[-1:]
        found = dataset_at(volume, last[0].brief["run"]["dataset"] if last else "")
        has_days = bool(found.calendar)
    except (StageError, OSError, LookupError, TypeError):
        return None
    return found if has_days else None


def book_tables(volume: Volume, faults: dict[Path, str]) -> Mapping[str, pa.Table]:
    """Return every view of books by name; what cannot be read is left out and named in the faults."""
    ledgers = ledgers_folder(volume)
    found = {name: [schema.empty_table()] for name, schema in SCHEMAS.items()}
    rows: list[Row] = []
    for name in _names(ledgers, faults):
        one, chain = overview_and_chain(ledgers / name)
        rows.append(_row(one))
        if chain is None:
            faults[ledgers / name] = f"is damaged ({one.sentence})"
            continue
        for table, part in tables_of(chain).items():
            found[table].append(part)
    tables = {f"{PREFIX}{name}": pa.concat_tables(parts) for name, parts in found.items()}
    return {BOOKS: pa.Table.from_pylist(rows, schema=BOOKS_SCHEMA), **tables}


def no_book_tables() -> Mapping[str, pa.Table]:
    """Return the same views without rows."""
    tables = {f"{PREFIX}{name}": schema.empty_table() for name, schema in SCHEMAS.items()}
    return {BOOKS: BOOKS_SCHEMA.empty_table(), **tables}


def all_overviews(volume: Volume, faults: dict[Path, str] | None = None) -> list[Overview]:
    """Return the overview of each book; a folder of books that cannot be read is a fault."""
    ledgers = ledgers_folder(volume)
    return [overview(ledgers / name) for name in _names(ledgers, {} if faults is None else faults)]


def _names(ledgers: Path, faults: dict[Path, str]) -> list[str]:
    try:
        return books(ledgers)
    except OSError as error:
        faults[ledgers] = why_unreadable(error, ledgers)
        return []


def _row(one: Overview) -> Row:
    record = one.record
    known: Row = {
        **{name: getattr(one, name, None) for name in FIELDS},
        "state": str(one.state),
        "decided": values.day(one.decided),
        "reconciled": values.day(one.reconciled),
        "run_id": one.run,
        "gates_closed": len(one.closed),
        "late_days": len(one.late_days),
        "missed_days": len(one.missed_days),
        "days_counted": record.days,
        "total_return": record.total,
        "benchmark_return": record.benchmark,
        "beyond_promise": record.is_beyond,
    }
    return known
