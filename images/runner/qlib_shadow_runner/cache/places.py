"""Where the cache lies and how large it may be. Imports little, because the stage's process uses it too."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from qlib_shadow_runner.contract import ARTIFACTS, ENV_FEATURES_CACHE_BYTES, Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENV_CACHE: Final = "QLIB_SHADOW_FEATURES_CACHE"
"""The cache's folder; under plain qrun it is not set, and nothing is kept."""
ENV_LIMIT: Final = ENV_FEATURES_CACHE_BYTES
"""The number of bytes that may be kept, in the place of the default."""
ENV_REPORT: Final = "QLIB_SHADOW_FEATURES_REPORT"
"""The file for statistics of the features; under plain qrun it is not set."""
ENV_ROWS_FROM: Final = "QLIB_SHADOW_ROWS_FROM"
"""The first day that a run with a kept model reads; the features themselves begin earlier."""
FEATURES_CACHE: Final = ARTIFACTS / "cache" / "features"
"""Relative to the volume; `cache` is not a valid run id."""


BYTES: Final = re.compile(r"[0-9]{1,18}")


def limit_for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the size limit as a child's environment, empty if none is set; raise if it is not a number."""
    given = environ.get(ENV_LIMIT, "")
    if given and not BYTES.fullmatch(given):
        raise StageError(
            Reason.INVALID_SPEC,
            f'{ENV_LIMIT} is "{given}"; it must be a whole number of bytes, such as 21474836480 for 20 GiB, '
            "or not be set",
        )
    return {ENV_LIMIT: given} if given else {}


MOST: Final = 20 << 30
"""Bytes that may be kept by default: about a dozen matrices of 500 symbols over 15 years."""
SHARE: Final = 4
"""By default at most a quarter of the filesystem."""
RESERVE: Final = 1 << 30
"""Bytes left free for the output of runs; on a small filesystem a twentieth of it."""
RESERVE_SHARE: Final = 20
LIMIT_RULE: Final = (
    "the smaller of 20 GiB and a quarter of the volume, or what QLIB_SHADOW_FEATURES_CACHE_BYTES says"
)


class NoRoomError(OSError):
    """An entry is not kept because there is no room for it."""


class Space(NamedTuple):
    """The bytes of a filesystem, and those that are free."""

    total: int
    free: int

    @property
    def default_limit(self) -> int:
        """Return how many bytes may be kept if no limit is set."""
        return min(MOST, self.total // SHARE)

    def missing_for(self, size: int) -> int:
        """Return how many bytes must be removed before so many can be written."""
        return max(size + min(RESERVE, self.total // RESERVE_SHARE) - self.free, 0)


def space_of(folder: Path) -> Space:
    """Return the space of a folder's filesystem; one that does not say is taken to have enough."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return Space(SHARE * MOST, SHARE * MOST)
    return Space(found.total, found.free) if found.total else Space(SHARE * MOST, SHARE * MOST)
