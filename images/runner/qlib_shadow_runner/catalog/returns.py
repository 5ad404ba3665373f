"""The returns after a day, from a dataset's closes, in one convention for the whole catalog.

A signal of day t is known after the close of t. So returns begin at the close of t+1, as in Qlib's own
label: over h days that is close(t+1+h) / close(t+1) - 1. The return from t to t+1 is `next_day`, which
users ask for first, but which cannot be earned.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, FLOAT_BYTES, Dataset, feature_folder
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import PRICES, read_file
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

    from qlib_shadow_runner.storage.volume import Volume

VALUES_MAX: Final = 200_000_000
"""The closes of a dataset that are read: 20,000 instruments on 10,000 days."""
HORIZONS: Final = (1, 5, 20)
"""A day, a week and a month of trading."""


@dataclass(frozen=True)
class Closes:
    """The closes of every instrument of a dataset since a day."""

    calendar: Sequence[date]
    symbols: Sequence[str]
    values: NDArray[np.float64]
    """A row for each day, a column for each instrument; NaN where there is no price."""
    fingerprint: str | None
    feed: str
    """Where their data comes from, as the dataset's manifest says it."""

    @classmethod
    def of(cls, volume: Volume, dataset_path: str, since: date) -> Self | None:
        """Return the closes of the version that the path names now, or None if it is not a valid dataset."""
        try:
            folder = real_path(volume.locate(dataset_path))
            volume.name(folder)  # refuses a link out of the volume
        except StageError:
            return None
        return cls.at(folder, since)

    @classmethod
    def at(
        cls, folder: Path, since: date, most: int | None = None, symbols: Sequence[str] | None = None
    ) -> Self | None:
        """Return the closes of a version, of these or of at most so many instruments, if it is valid."""
        try:
            dataset = Dataset(folder)
            calendar = dataset.calendar
            symbols = sorted(dataset.symbols.values()) if symbols is None else symbols
            if most is not None:
                symbols = symbols[:: max(1, -(-len(symbols) // most))]
            if not calendar or calendar[-1] < since or len(calendar) * len(symbols) > VALUES_MAX:
                return None
            manifest = DatasetManifest.read(manifest_path(folder))
            first = bisect_left(calendar, since)
            columns = [read_bars(folder, symbol, "close", len(calendar))[first:] for symbol in symbols]
        except (StageError, OSError, UnsafeNameError):
            return None
        values = np.column_stack(columns) if columns else np.empty((len(calendar) - first, 0))
        fingerprint, feed = (manifest.fingerprint, manifest.feed) if manifest else (None, "")
        return cls(calendar[first:], symbols, values, fingerprint, feed)

    def index(self, day: date) -> int:
        """Return the index of the last trading day up to this one, or -1 before the first."""
        return bisect_right(self.calendar, day) - 1

    def after(self, horizon: int) -> NDArray[np.float64]:
        """Return each day's return over the horizon, from the next day's close."""
        return _ratio(self.values[1:], horizon, len(self.values))

    def outcome(self, place: int, horizon: int) -> NDArray[np.float64]:
        """Return one day's row of `after`."""
        found: NDArray[np.float64] = self.values[place + 1 + horizon] / self.values[place + 1] - 1
        return found

    def next_day(self) -> NDArray[np.float64]:
        """Return each day's return until the next day's close."""
        return _ratio(self.values, 1, len(self.values))


def _ratio(closes: NDArray[np.float64], horizon: int, length: int) -> NDArray[np.float64]:
    found = np.full((length, closes.shape[1]), np.nan)
    if horizon < len(closes):
        found[: len(closes) - horizon] = closes[horizon:] / closes[:-horizon] - 1
    return found


def read_bars(folder: Path, symbol: str, field: str, days: int) -> NDArray[np.float64]:
    """Return one value of a field for each day of the calendar; NaN where there is none above zero."""
    values = np.full(days, np.nan)
    try:
        content = read_file(folder, f"features/{feature_folder(symbol)}/{field}{BIN_SUFFIX}", PRICES)
    except (FileNotFoundError, UnsafeNameError):
        return values
    stored = np.frombuffer(content, "<f4", len(content) // FLOAT_BYTES)
    if not len(stored) or not 0 <= stored[0] < days:  # the folder was changed after it was verified
        return values
    start = int(stored[0])
    prices = stored[1 : 1 + max(0, days - start)].astype(np.float64)
    values[start : start + len(prices)] = np.where(prices > 0, prices, np.nan)
    return values
