"""Removing a folder so that a crash never leaves half of it under its name."""

from __future__ import annotations

import re
import secrets
import shutil
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.storage.files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

REMOVED_MARK: Final = re.compile(r"\.(.+)\.removed-[0-9a-f]{8}\.tmp")
"""Ends as the names do that the next builder of a dataset sweeps away."""


def move_aside(folder: Path) -> Path:
    """Take the folder's name away, at one instant and for good."""
    removed_path = folder.with_name(f".{folder.name}.removed-{secrets.token_hex(4)}.tmp")
    folder.rename(removed_path)
    sync_folder(folder.parent)
    fault_point("prune-renamed")
    return removed_path


def name_before_removal(path: Path) -> str | None:
    """Give the name that a removed folder had; None for what was not removed."""
    found = REMOVED_MARK.fullmatch(path.name)
    return found[1] if found and path.is_dir() and not path.is_symlink() else None


def delete(removed_path: Path) -> None:
    """Delete what was buried; somebody else may be doing the same."""
    try:
        shutil.rmtree(removed_path)
    except FileNotFoundError:
        shutil.rmtree(removed_path, ignore_errors=True)
