"""Where things of the fast engine lie, and which variables tell it; light enough for the stage to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ARTIFACTS, ENV_FEATURES_CACHE_BYTES, Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
