"""Where things of the fast engine lie, and which variables tell it; light enough for the stage to import."""

from __future__ import annotations

from typing import Final

from qlib_shadow_runner.contract import ARTIFACTS

ENV_CACHE: Final = "QLIB_SHADOW_FEATURES_CACHE"
"""Names the folder of finished matrices; with plain qrun there is none, and nothing is kept."""
ENV_LIMIT: Final = "QLIB_SHADOW_FEATURES_CACHE_BYTES"
ENV_REPORT: Final = "QLIB_SHADOW_FEATURES_REPORT"
"""Names the file for what became of the features; with plain qrun there is none."""
FEATURES_CACHE: Final = ARTIFACTS / "cache" / "features"
"""Relative to the volume; no run may be called cache."""
