"""The signals of all runs as one table, read from the run folders' own files, Parquet and CSV alike.

The rows of these files do not have the run's id. It comes from the folder, so that a query about one run
opens one file. Instruments are dictionaries here: a name that a damaged file repeats is in memory once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from qlib_shadow_runner.catalog.run_folders_as_files import run_folders_as_files
from qlib_shadow_runner.contract import SIGNALS_STEM
from qlib_shadow_runner.export.ranked_signals import LIMITS, SCHEMA
from qlib_shadow_runner.runs.listing import STATUS_NOT_GOLDEN, artifacts_root
from qlib_shadow_runner.storage.untrusted import TABLE, fault_of, open_file
from qlib_shadow_runner.storage.untrusted_tables import UNREADABLE, read_table, table_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

COLUMNS: Final = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.type == pa.string() else field
        for field in SCHEMA
    ]
)
SIGNALS_SCHEMA: Final = pa.schema([("run_id", pa.string()), *COLUMNS])
PARQUET: Final = f"{SIGNALS_STEM}.parquet"
CSV: Final = f"{SIGNALS_STEM}.csv"
ROWS_OF_DAYS_MAX: Final = 1_000_000
"""The rows of the last days of one run, of which at most 21 are needed at a time."""


def signal_file(volume: Volume, row: Row) -> Path | None:
    """Return the signal file of a run that has trained and passed its checks, as far as they were made."""
    name = row["signals_file"]
    if not row["trained"] or row["status"] == STATUS_NOT_GOLDEN or name not in (PARQUET, CSV):
        return None
    return artifacts_root(volume) / str(row["run_id"]) / str(name)


def signal_files(volume: Volume, rows: Iterable[Row]) -> dict[Path, str | None]:
    """Return the signal files of all runs, each with what is wrong with it, or None."""
    named = [path for row in rows if (path := signal_file(volume, row)) is not None]
    return {path: fault(path) for path in named}


def is_whole(path: Path) -> bool:
    """Return whether a file seems complete."""
    return fault(path) is None


def fault(path: Path) -> str | None:
    """Return what is wrong with a file: with a Parquet file by its footer; a CSV file must only be one."""
    try:
        if path.name == PARQUET:
            return table_fault(*_place(path), SCHEMA, LIMITS)
        open_file(*_place(path), TABLE).close()
    except OSError as error:
        return fault_of(error)
    return None


def fault_of_content(path: Path) -> str | None:
    """Return what is wrong with any byte of a file, which takes as long as reading all of it."""
    root, name = _place(path)
    try:
        if path.name == PARQUET:
            read_table(root, name, SCHEMA, LIMITS)
        else:
            with open_file(root, name, TABLE) as stream:
                for _ in pa_csv.open_csv(stream, convert_options=_csv_columns()):
                    pass
    except OSError as error:
        return fault_of(error)
    except UNREADABLE as error:
        return f"cannot be read ({' '.join(str(error).split())[:200]})"
    return None


def signals_on(path: Path, days: pa.Array) -> pa.Table | None:
    """Return a run's signals of some days; None where they cannot be read, or are more than days have."""
    found = signals_of([path]).scanner(filter=pa_dataset.field("date").isin(days))
    try:
        table = found.head(ROWS_OF_DAYS_MAX)
        table = table.set_column(
            table.schema.get_field_index("instrument"), "instrument", table["instrument"].cast(pa.string())
        )
    except UNREADABLE:
        return None
    return table if len(table) < ROWS_OF_DAYS_MAX else None


def signals_of(files: Sequence[Path]) -> pa_dataset.Dataset:
    """Return one table over the files; nothing is read yet."""
    formats = {
        PARQUET: pa_dataset.ParquetFileFormat(
            read_options=pa_dataset.ParquetReadOptions(dictionary_columns={"instrument"})
        ),
        CSV: pa_dataset.CsvFileFormat(convert_options=_csv_columns()),
    }
    return pa_dataset.dataset(
        [_table(kind, [path for path in files if path.name == name]) for name, kind in formats.items()]
    )


def _table(kind: pa_dataset.FileFormat, files: Sequence[Path]) -> pa_dataset.Dataset:
    here = run_folders_as_files(files[0].parents[1] if files else Path())
    fragments = [
        kind.make_fragment(
            _place(path)[1],
            filesystem=here,
            partition_expression=pa_dataset.field("run_id") == path.parent.name,
        )
        for path in files
    ]
    return pa_dataset.FileSystemDataset(fragments, SIGNALS_SCHEMA, kind, here)


def _csv_columns() -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(column_types=COLUMNS)


def _place(path: Path) -> tuple[Path, str]:
    """Return the folder of all run folders, and a file's name below it: no link may be in between."""
    return path.parents[1], f"{path.parent.name}/{path.name}"
