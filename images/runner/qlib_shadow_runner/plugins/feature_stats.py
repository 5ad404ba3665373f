"""What became of a request for features: a line of the log, and a file for the stage's RUN_METADATA.json."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cache.places import ENV_REPORT
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from qlib_shadow_runner.engine.growth import Growth

SHOWN: Final = 5


@dataclass
class FeatureStats:
    """How features were computed; whatever Qlib had to compute is named."""

    engine: str = "fast"
    columns: int = 0
    rows: int = 0
    seconds: float = 0.0
    cache: str = "none"
    new_days: int | None = None
    """So many days were added to an earlier matrix; none where there was no such."""
    instruments_recomputed: int = 0
    """Of so many instruments the earlier days were computed, too: new ones, and those of another past."""
    columns_by_qlib: list[str] = field(default_factory=list)
    instruments_by_qlib: list[str] = field(default_factory=list)
    all_by_qlib: str = ""
    """Why Qlib computed everything; empty where it did not."""

    def close(self, shape: tuple[int, int], seconds: float) -> None:
        """Tell it."""
        self.rows, self.columns = shape
        self.seconds = round(seconds, 3)
        if self.all_by_qlib:
            self.engine = "qlib"
        sys.stdout.write(f"{self.sentence()}\n")
        path = os.environ.get(ENV_REPORT)
        if path:
            write_json(Path(path), asdict(self))

    def add_growth(self, growth: Growth | None) -> None:
        """Say what an earlier matrix has given."""
        if growth:
            self.new_days, self.instruments_recomputed = growth.days, growth.recomputed_instruments

    def sentence(self) -> str:
        """Say it in one line."""
        line = f"features: {self.columns} columns, {self.rows:,} rows in {self.seconds:.1f} s"
        if self.all_by_qlib:
            return f"{line}, all by Qlib's own engine: it alone understands {self.all_by_qlib}"
        parts = [
            f"{len(names)} {what} by Qlib's own engine ({_some(names)})"
            for names, what in (
                (self.columns_by_qlib, "columns"),
                (self.instruments_by_qlib, "instruments"),
            )
            if names
        ]
        return "; ".join([line, *self._from_cache(), *parts])

    def _from_cache(self) -> list[str]:
        told = [] if self.cache == "none" else [self.cache]
        if self.new_days is None:
            return told
        recomputed_instruments = (
            f", and {self.instruments_recomputed} instruments wholly" if self.instruments_recomputed else ""
        )
        return [f"taken from the cache, {self.new_days} new days computed{recomputed_instruments}", *told]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
