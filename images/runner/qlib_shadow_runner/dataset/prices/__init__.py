"""The user's own daily bars, from Parquet or CSV into Qlib's binary layout, without a loop over rows.

    files -> columns -> parts (one per file) -> grid -> adjusted columns -> features/*.day.bin

Knows files and numbers; which file and which options is the source's to say.
"""

from __future__ import annotations

from qlib_shadow_runner.dataset.prices.ingest import ingest

__all__ = ["ingest"]
