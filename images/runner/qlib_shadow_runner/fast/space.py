"""How much may be kept on a filesystem that the runs themselves need, too."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MOST: Final = 20 << 30
"""Bytes that may stay: a dozen matrices of 500 symbols over 15 years."""
SHARE: Final = 4
"""And no more than a quarter of the filesystem."""
RESERVE: Final = 1 << 30
"""Bytes that stay free for what runs write; of a small filesystem, a twentieth."""
RESERVE_SHARE: Final = 20
MEANT: Final = (
    "the smaller of 20 GiB and a quarter of the volume, or what QLIB_SHADOW_FEATURES_CACHE_BYTES says"
)


class NoRoom(OSError):  # noqa: N818 - it is a finding
    """What cannot be kept, and why."""


class Space(NamedTuple):
    """Bytes of a filesystem, and those that are free."""

    total: int
    free: int

    @property
    def usual_limit(self) -> int:
        """Say how many bytes may be kept where nobody has said it."""
        return min(MOST, self.total // SHARE)

    def lacks(self, size: int) -> int:
        """Say how many bytes are to go before so many may be written."""
        return max(size + min(RESERVE, self.total // RESERVE_SHARE) - self.free, 0)


def space_of(folder: Path) -> Space:
    """Ask the filesystem; one that does not know has room."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return Space(SHARE * MOST, SHARE * MOST)
    return Space(found.total, found.free) if found.total else Space(SHARE * MOST, SHARE * MOST)
