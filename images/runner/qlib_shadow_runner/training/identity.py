"""Whether two computations are the same: the same question, to the same data, asked of the same code."""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MADE_WITH: Final = ("git_commit", "image", "python", "packages")
"""What RUN_METADATA.json says of the code."""
CHANGED: Final = "-dirty"


def computation(config_hash: str, seed: int, metadata: Mapping[str, object]) -> str:
    """Name a computation by all that its answer follows from; the data is in the configuration's hash."""
    document = {
        "config_hash": config_hash,
        "seed": seed,
        "machine": platform.machine(),
        **{key: metadata.get(key) for key in MADE_WITH},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def code_is_known(metadata: Mapping[str, object]) -> bool:
    """Say whether the commit tells what ran; uncommitted changes have no name."""
    return not str(metadata.get("git_commit")).endswith(CHANGED)
