"""The signals of all runs as one table, read from the run folders' own files, Parquet and CSV alike.

The rows of these files do not have the run's id. It comes from the folder, so that a query about one run
opens one file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
from pyarrow.fs import LocalFileSystem

from qlib_shadow_runner.contract import SIGNALS_STEM
from qlib_shadow_runner.export.ranked_signals import SCHEMA
from qlib_shadow_runner.runs.listing import artifacts_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

SIGNALS_SCHEMA: Final = pa.schema([("run_id", pa.string()), *SCHEMA])
PARQUET: Final = f"{SIGNALS_STEM}.parquet"
CSV: Final = f"{SIGNALS_STEM}.csv"
MAGIC: Final = b"PAR1"
"""The first and last bytes of a complete Parquet file."""


def signal_file(volume: Volume, row: Row) -> Path | None:
    """Return the signal file of a run that is complete."""
    name = row["signals_file"]
    if row["status"] != "complete" or name not in (PARQUET, CSV):
        return None
    return artifacts_root(volume) / str(row["run_id"]) / str(name)


def signal_files(volume: Volume, rows: Iterable[Row]) -> tuple[list[Path], list[Path]]:
    """Return the files that are complete, and those that are missing or damaged."""
    named = [path for row in rows if (path := signal_file(volume, row)) is not None]
    whole = [path for path in named if is_whole(path)]
    return whole, [path for path in named if path not in set(whole)]


def is_whole(path: Path) -> bool:
    """Return whether a file is complete, by its first and last bytes; a CSV file cannot be checked."""
    try:
        with path.open("rb") as stream:
            if path.name == CSV:
                return True
            head = stream.read(len(MAGIC))
            return stream.seek(0, os.SEEK_END) > len(MAGIC) and _tail(path) == head == MAGIC
    except OSError:
        return False


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-len(MAGIC), os.SEEK_END)
        return stream.read()


def signals_of(files: Sequence[Path]) -> pa_dataset.Dataset:
    """Return one table over the files; nothing is read yet."""
    options = pa_csv.ConvertOptions(column_types=SCHEMA)
    formats = {
        PARQUET: pa_dataset.ParquetFileFormat(),
        CSV: pa_dataset.CsvFileFormat(convert_options=options),
    }
    return pa_dataset.dataset(
        [_table(kind, [path for path in files if path.name == name]) for name, kind in formats.items()]
    )


def _table(kind: pa_dataset.FileFormat, files: Sequence[Path]) -> pa_dataset.Dataset:
    here = LocalFileSystem()
    fragments = [
        kind.make_fragment(
            str(path), filesystem=here, partition_expression=pa_dataset.field("run_id") == path.parent.name
        )
        for path in files
    ]
    return pa_dataset.FileSystemDataset(fragments, SIGNALS_SCHEMA, kind, here)
