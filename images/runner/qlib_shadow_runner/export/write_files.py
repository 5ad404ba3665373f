"""Write the files of a run where readers look.

Each appears whole. After a crash between two of them the next attempt writes the same bytes again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import METRICS_FILE, SIGNALS_STEM, SUMMARY_FILE, TABLES
from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.storage.files import sync_folder, write_atomically
from qlib_shadow_runner.tables.files import FAULTS_FILE, FILES
from qlib_shadow_runner.training.checkpoints import sigterm_deferred

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POINTS = {
    **dict.fromkeys((*FILES, FAULTS_FILE), QrunPoint.EXPORT_TABLES),
    METRICS_FILE: QrunPoint.EXPORT_METRICS,
    SUMMARY_FILE: QrunPoint.EXPORT_SUMMARY,
}


def write_files(folder: Path, contents: Mapping[str, bytes]) -> dict[str, str]:
    """Write the files in this order, with any SIGTERM deferred, and return their hashes."""
    with sigterm_deferred():
        (folder / TABLES).mkdir(exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
            fault_point(POINTS.get(name, QrunPoint.EXPORT_SIGNALS))
        for stale in (*folder.glob(f"{SIGNALS_STEM}.*"), *folder.glob(f"{TABLES}/*.parquet")):
            if stale.relative_to(folder).as_posix() not in contents:
                stale.unlink()
        sync_folder(folder / TABLES)
        sync_folder(folder)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
