"""Remove a folder so that no crash and no other process ever finds half of it under its name."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.storage.files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

REMOVED_MARK: Final = re.compile(r"\.(.+)\.removed-[0-9a-f]{8}\.tmp")


def remove(folder: Path) -> None:
    """Remove a folder; one that cannot be removed now, or that another process removes, is left."""
    with contextlib.suppress(OSError):
        delete(folder if name_before_removal(folder) else move_aside(folder))


def move_aside(folder: Path) -> Path:
    """Rename the folder, for good and at one instant; return the path that is left to delete."""
    removed_path = folder.with_name(f".{folder.name}.removed-{secrets.token_hex(4)}.tmp")
    folder.rename(removed_path)
    sync_folder(folder.parent)
    fault_point("prune-renamed")
    return removed_path


def name_before_removal(path: Path) -> str | None:
    """Return the name that a removed folder had; None for anything else."""
    found = REMOVED_MARK.fullmatch(path.name)
    return found[1] if found and path.is_dir() and not path.is_symlink() else None


def discard(path: Path) -> None:
    """Remove whatever lies at a path, of a link the link itself; what cannot be removed now is left."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def delete(removed_path: Path) -> None:
    """Delete a folder that was moved aside; another process may be deleting it too."""
    try:
        shutil.rmtree(removed_path)
    except FileNotFoundError:
        shutil.rmtree(removed_path, ignore_errors=True)
