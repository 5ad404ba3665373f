"""Check the free space before writing, because a full volume stops every run on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from pathlib import Path

BLOCK: Final = 4096
"""The space that a file of one byte takes on most filesystems."""
SPARE: Final = 64 << 20
SPARE_SHARE: Final = 20


def free_bytes(folder: Path) -> int:
    """Return how many bytes this user can still write."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def spare_bytes(folder: Path) -> int:
    """Return how many bytes should stay free: 64 MiB, or a twentieth of a small filesystem."""
    status = os.statvfs(folder)
    return min(SPARE, status.f_blocks * status.f_frsize // SPARE_SHARE)


def free_files(folder: Path) -> int | None:
    """Return how many files can still be made, or None where the filesystem does not count them."""
    status = os.statvfs(folder)
    return status.f_favail if status.f_files else None


def require_space(folder: Path, size: int, what: str) -> None:
    """Raise where the free space is smaller than the size."""
    free = free_bytes(folder)
    if size > free:
        raise out_of_disk(f"{what} needs {format_size(size)}, but {format_size(free)} is free in {folder}")


def out_of_disk(message: str) -> StageError:
    """Return the error that the volume is full, with its remedy."""
    return StageError(Reason.OUT_OF_DISK, f"{message}. Free space on the volume or enlarge it.")
