"""What killed processes left on a volume and no living one holds, for `prune` to remove.

The next attempt of a run, or the next build of a dataset, removes it as well; but there may never be one.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import METADATA_FILE, RESULTS
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.runs.folder import OWNER_FILE
from qlib_shadow_runner.runs.lease import LINKS_FOLDER, seconds_without_holder
from qlib_shadow_runner.runs.listing import GRACE, artifacts_root
from qlib_shadow_runner.storage.drafts import abandoned_drafts, abandoned_drafts_below
from qlib_shadow_runner.storage.removal import name_before_removal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

OURS: Final = (METADATA_FILE, OWNER_FILE, LINKS_FOLDER, RESULTS)
"""One of these is in each run folder, also where the run was killed as it began."""
BUILD: Final = re.compile(r"\.(.+)\.(?:staging|link|download)-[0-9a-f]{8,16}(?:\.json)?", re.DOTALL)
DOWNLOAD: Final = ".download-"


def left_in_run_folders(volume: Volume) -> Iterator[Path]:
    """Yield what was being written in run folders and the catalog, and the links of ended attempts."""
    root = artifacts_root(volume)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_symlink() or not folder.is_dir():
            continue
        if run_id_fault(folder.name) is not None:
            yield from abandoned_drafts(folder)  # the catalog
        elif any(os.path.lexists(folder / name) for name in OURS):
            yield from abandoned_drafts_below(folder)
            if seconds_without_holder(folder) is not None:
                yield from _links(folder)


def _links(folder: Path) -> Iterator[Path]:
    links = folder / LINKS_FOLDER
    yield from sorted(links.iterdir()) if links.is_dir() and not links.is_symlink() else ()


def dataset_of_build(path: Path) -> str | None:
    """Return the name of the dataset that a build began; None for anything else.

    Its lock, which lies beside it, shows whether a builder lives; a partial download is kept for a week.
    """
    found = BUILD.fullmatch(name_before_removal(path) or path.name)
    if found is None or not path.with_name(f".{found[1]}.lock").is_file():
        return None
    if DOWNLOAD in path.name and time.time() - path.lstat().st_mtime < GRACE.total_seconds():
        return None
    return found[1]
