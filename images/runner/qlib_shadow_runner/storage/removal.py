"""Removing a folder so that a crash never leaves half of it under its name."""

from __future__ import annotations

import re
import secrets
import shutil
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.faults import fault_point
from qlib_shadow_runner.storage.files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

GRAVE: Final = re.compile(r"\.(.+)\.removed-[0-9a-f]{8}\.tmp")
"""Ends as the names do that the next builder of a dataset sweeps away."""


def bury(folder: Path) -> Path:
    """Take the folder's name away, at one instant and for good."""
    grave = folder.with_name(f".{folder.name}.removed-{secrets.token_hex(4)}.tmp")
    folder.rename(grave)
    sync_folder(folder.parent)
    fault_point("prune-renamed")
    return grave


def buried_name(path: Path) -> str | None:
    """Give the name that a removed folder had; None for what was not removed."""
    found = GRAVE.fullmatch(path.name)
    return found[1] if found and path.is_dir() and not path.is_symlink() else None


def delete(grave: Path) -> None:
    """Delete what was buried; somebody else may be doing the same."""
    try:
        shutil.rmtree(grave)
    except FileNotFoundError:
        shutil.rmtree(grave, ignore_errors=True)
