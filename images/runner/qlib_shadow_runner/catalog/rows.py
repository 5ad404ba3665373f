"""The rows of the catalog, from the run folders; a known folder is read again only if it has changed.

A folder's stamp holds the sizes and times of the documents of its row. They are replaced by rename, so a
changed document has another time. A run that has not ended is always read again: no document shows that
its process has died.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.run_columns import COLUMNS, Row, RunDocuments
from qlib_shadow_runner.contract import METADATA_FILE, METRICS_FILE, RESULTS
from qlib_shadow_runner.contract.stages import STAGES
from qlib_shadow_runner.runs.listing import ENDED, GOLDEN_FILE, ListedRun, artifacts_root, run_names
from qlib_shadow_runner.storage.untrusted import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

STAMP: Final = "stamp"
DOCUMENTS: Final = (
    METADATA_FILE,
    METRICS_FILE,
    GOLDEN_FILE,
    *(f"{RESULTS}/{stage}.json" for stage in STAGES),
)


def scan(volume: Volume, known: Mapping[str, Row]) -> list[Row]:
    """Return a row for each run on the volume, newest first."""
    root = artifacts_root(volume)
    folders = (root / name for name in run_names(root))
    rows = [row for folder in folders if (row := _row(folder, known)) is not None]
    return sorted(rows, key=lambda row: (str(row["started_at"] or ""), row["run_id"]), reverse=True)


def by_run(rows: list[Row]) -> dict[str, Row]:
    """Return the rows by run id."""
    return {row["run_id"]: row for row in rows}


def row_of(run: ListedRun) -> Row:
    """Return the catalog's row of a run."""
    documents = RunDocuments.by(run)
    return {column.name: column.read(documents) for column in COLUMNS}


def _row(folder: Path, known: Mapping[str, Row]) -> Row | None:
    found = stamp(folder)
    before = known.get(folder.name)
    if found and before is not None and before[STAMP] == found and before["status"] in ENDED:
        return before
    run = ListedRun.at(folder) if found else None
    return None if run is None else {**row_of(run), STAMP: found}


def stamp(folder: Path) -> str:
    """Return the stamp of a run folder; it is empty if there is no run."""
    parts = []
    for name in DOCUMENTS:
        try:
            status = status_of(folder, name)
        except FileNotFoundError:
            parts.append("-")
        except OSError as error:
            parts.append(f"e{error.errno}")
        else:
            kind = stat.S_IFMT(status.st_mode)
            parts.append(f"{kind}.{status.st_size}.{status.st_mtime_ns}")
    return "" if parts[0] == "-" else " ".join(parts)
