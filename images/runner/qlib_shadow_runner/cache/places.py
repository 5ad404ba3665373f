"""Where things of the fast engine lie, and which variables tell it; light enough for the stage to import."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from qlib_shadow_runner.contract import ARTIFACTS, ENV_FEATURES_CACHE_BYTES, Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENV_CACHE: Final = "QLIB_SHADOW_FEATURES_CACHE"
"""Names the folder of what is kept for other runs; with plain qrun there is none, and nothing is kept."""
ENV_LIMIT: Final = ENV_FEATURES_CACHE_BYTES
"""Says how many bytes may stay there, where the default is not meant."""
ENV_REPORT: Final = "QLIB_SHADOW_FEATURES_REPORT"
"""Names the file for what became of the features; with plain qrun there is none."""
FEATURES_CACHE: Final = ARTIFACTS / "cache" / "features"
"""Relative to the volume; no run may be called cache."""


def limit_for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """Pass on how much may stay, if somebody has said so."""
    given = environ.get(ENV_LIMIT, "")
    if given and not (given.isascii() and given.isdigit()):
        raise StageError(
            Reason.INVALID_SPEC,
            f'{ENV_LIMIT} is "{given}"; it must be a whole number of bytes, such as 21474836480 for 20 GiB, '
            "or not be set",
        )
    return {ENV_LIMIT: given} if given else {}


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
