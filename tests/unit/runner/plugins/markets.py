"""Small markets as binary files, with the faults and rare cases of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.unit.runner.conftest import weekdays

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIELDS = ("open", "high", "low", "close", "volume", "vwap")
SYMBOLS = ("AAA", "BBB", "CON", "^GSPC")
"""`CON` is a device on Windows, and `^GSPC` is no identifier."""


@dataclass(frozen=True)
class Listing:
    """One instrument: its days, and its peculiarities."""

    first: int
    days: int
    seed: int
    constant: bool = False
    """The price changes in its last bits only."""
    gaps: float = 0.0
    """The share of days without values."""
    infinite: float = 0.0
    no_volume: float = 0.0
    missing: tuple[str, ...] = ()
    """Fields without a file."""
    short: tuple[str, ...] = ()
    """Fields that begin later and end earlier than the others."""
    coarse: bool = False
    """Prices are rounded, so that many are equal."""

    def fields(self) -> Mapping[str, tuple[int, np.ndarray]]:
        """Return each field's first day and values."""
        random = np.random.default_rng(self.seed)
        steps = np.zeros(self.days) if self.constant else random.normal(0, 0.03, self.days)
        close = np.exp(np.cumsum(steps)) * random.uniform(0.5, 200)
        prices: dict[str, Any] = {
            name: close * (1 + random.normal(0, 0.01, self.days)) for name in ("open", "vwap")
        }
        prices["high"] = np.maximum(prices["open"], close) * 1.01
        prices["low"] = np.minimum(prices["open"], close) * 0.99
        prices["close"] = close
        prices["volume"] = np.round(np.exp(random.normal(12, 1, self.days)))
        prices["volume"][random.random(self.days) < self.no_volume] = 0
        return {name: self._file(name, values, random) for name, values in prices.items()}

    def _file(self, name: str, values: np.ndarray, random: np.random.Generator) -> tuple[int, np.ndarray]:
        values = np.asarray(values, np.float32)
        if self.coarse:
            values = np.round(values, 1 if name != "volume" else -5)
        values[random.random(self.days) < self.gaps] = np.nan
        values[random.random(self.days) < self.infinite] = random.choice([np.inf, -np.inf])
        if name in self.short and self.days > 4:
            return self.first + 2, values[2:-2]
        return self.first, values


@dataclass(frozen=True)
class Market:
    """Some instruments in a calendar, and the listed spans of the universe `some`."""

    length: int
    listings: Mapping[str, Listing]
    spans: Mapping[str, tuple[tuple[int, int], ...]]

    def write(self, folder: Path, until: int | None = None) -> Path:
        """Write it as a dataset of Qlib, whole or with its first days only."""
        calendar = weekdays(min(self.length, until or self.length))
        end = len(calendar)
        (folder / "calendars").mkdir(parents=True)
        (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in calendar))
        (folder / "instruments").mkdir()
        for name, spans in {"all": {}, "some": self.spans}.items():
            lines = [
                f"{symbol}\t{calendar[first]}\t{calendar[min(last, end - 1)]}\n"
                for symbol in self.listings
                for first, last in spans.get(symbol, ((0, self.length - 1),))
                if first < end
            ]
            (folder / "instruments" / f"{name}.txt").write_text("".join(lines))
        for symbol, listing in self.listings.items():
            home = folder / "features" / ("_qlib_con" if symbol == "CON" else symbol.lower())
            home.mkdir(parents=True)
            for name, (first, values) in listing.fields().items():
                if name not in listing.missing and first < end:
                    (home / f"{name}.day.bin").write_bytes(
                        np.concatenate([[first], values[: end - first]]).astype("<f4").tobytes()
                    )
        return folder
