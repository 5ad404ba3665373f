"""The kind of filesystem that a folder is on, and whether other machines may write there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

MOUNTINFO: Final = Path("/proc/self/mountinfo")
LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay"}
)
"""Filesystems that one kernel writes at a time, so that its locks apply to every process."""


def is_local(folder: Path) -> bool:
    """Return whether only this machine's kernel writes here; False where that is unknown."""
    return filesystem_type(folder) in LOCAL


def filesystem_type(folder: Path) -> str | None:
    """Return the type of the mount that is nearest above the folder."""
    try:
        table = MOUNTINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    real = Path(os.path.realpath(folder))
    best: tuple[int, str] | None = None
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        point = Path(_unescape(mount.split(" ")[4]))
        depth = len(point.parts)
        if real.is_relative_to(point) and (best is None or depth >= best[0]):
            best = depth, rest.split(" ")[0]
    return None if best is None else best[1]


def _unescape(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: os.fsdecode(bytes([int(match[1], 8)])), name)
