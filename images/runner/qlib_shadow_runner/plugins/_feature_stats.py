"""Statistics of one request for features: a line of the log, and a JSON file for RUN_METADATA.json."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cache.places import ENV_REPORT
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from qlib_shadow_runner.engine.growth import Growth

SHOWN: Final = 5


@dataclass
class FeatureStats:
    """How features were computed, and which of them Qlib had to compute."""

    engine: str = "fast"
    columns: int = 0
    rows: int = 0
    seconds: float = 0.0
    cache: str = "none"
    new_days: int | None = None
    """Days added to an earlier matrix; None where there was no such matrix."""
    instruments_recomputed: int = 0
    """Instruments whose earlier days were computed too, because they are new or their past has changed."""
    columns_by_qlib: list[str] = field(default_factory=list)
    instruments_by_qlib: list[str] = field(default_factory=list)
    all_by_qlib: str = ""
    """Why Qlib computed everything; empty where it did not."""

    def close(self, shape: tuple[int, int], seconds: float) -> None:
        """Write the line, and the file where one is named."""
        self.rows, self.columns = shape
        self.seconds = round(seconds, 3)
        if self.all_by_qlib:
            self.engine = "qlib"
        print_line(self.sentence())
        path = os.environ.get(ENV_REPORT)
        if path:
            write_json(Path(path), asdict(self))

    def add_growth(self, growth: Growth | None) -> None:
        """Record what was reused from an earlier matrix."""
        if growth:
            self.new_days, self.instruments_recomputed = growth.days, growth.recomputed_instruments

    def sentence(self) -> str:
        """Return the line of the log."""
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
        outcome = [] if self.cache == "none" else [self.cache]
        if self.new_days is None:
            return outcome
        recomputed = self.instruments_recomputed
        wholly = f", and {recomputed} instruments wholly" if recomputed else ""
        return [f"taken from the cache, {self.new_days} new days computed{wholly}", *outcome]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
