"""The scores of each day as arrays, in the order that pandas gives them, ties and missing scores included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from pandas.core.sorting import nargsort  # type: ignore[import-not-found]
from qlib.backtest.signal import SignalWCache

from qlib_shadow_runner.plugins.backtest._panel import Days

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Numbers = npt.NDArray[np.intp]


class Scores:
    """The scores of all days."""

    def __init__(self, series: pd.Series) -> None:
        index = series.index
        codes, names = pd.factorize(index.get_level_values("instrument"), sort=True)
        rows, days = pd.factorize(index.get_level_values("datetime"), sort=True)
        order = np.lexsort((codes, rows))
        self._codes, self._values = codes[order], series.to_numpy()[order]
        self._days = Days(pd.DatetimeIndex(days))
        self._offsets = np.searchsorted(rows[order], np.arange(len(days) + 1))
        self._names = np.array([str(name) for name in names], dtype=object)
        self._numbers = {name: number for number, name in enumerate(self._names)}

    @classmethod
    def of(cls, signal: Any) -> Self | None:
        """Return the scores of a signal, or None unless it has one number for each instrument and day."""
        if type(signal) is not SignalWCache:
            return None
        found = signal.signal_cache
        series = found.iloc[:, 0] if isinstance(found, pd.DataFrame) else found
        index = series.index
        is_plain = (
            isinstance(index, pd.MultiIndex)
            and sorted(index.names, key=str) == ["datetime", "instrument"]
            and index.is_unique
            and series.dtype in (np.float32, np.float64)
        )
        return cls(series) if is_plain else None

    def days_within(self, start: pd.Timestamp, end: pd.Timestamp) -> tuple[int, int]:
        """Return the numbers of the first day of a span and of the day after its last one."""
        return self._days.within(start, end)

    def on(self, day: int) -> DayScores:
        """Return the scores of a day."""
        rows = slice(self._offsets[day], self._offsets[day + 1])
        return DayScores(self._names, self._numbers, self._codes[rows], self._values[rows])


class DayScores:
    """The scores of one day, by instrument."""

    def __init__(
        self, names: npt.NDArray[np.object_], numbers: dict[str, int], codes: Numbers, values: Floats
    ) -> None:
        self._names, self._numbers, self._codes, self._values = names, numbers, codes, values
        # The last entry is for instruments without a score on any day.
        self._scores = np.full(len(names) + 1, np.nan, values.dtype)
        self._scores[codes] = values

    def ranked(self, names: Sequence[str]) -> list[str]:
        """Return the instruments in order, the best first and those without a score last."""
        numbers = [self._numbers.get(name, -1) for name in names]
        return [names[number] for number in descending(self._scores[numbers])]

    def others(self, names: Sequence[str]) -> npt.NDArray[np.object_]:
        """Return all instruments of the day but these, the best first."""
        others = np.ones(len(self._scores), bool)
        others[[self._numbers.get(name, -1) for name in names]] = False
        keep = others[self._codes]
        return self._names[self._codes[keep][descending(self._values[keep])]]


def descending(values: Floats) -> Numbers:
    """Return the order of `Series.sort_values(ascending=False)`."""
    return nargsort(values, ascending=False)  # type: ignore[no-any-return]
