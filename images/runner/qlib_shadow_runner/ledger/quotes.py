"""The prices of a dataset, read when they are asked for: one file for each instrument and field.

A value that is missing, infinite or out of the file's days is NaN, and so is every value of a field
without a file. The fields are Qlib's: `close`, `open`, `volume` (all adjusted), `factor` (adjusted price by
raw price) and `change`.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, FLOAT_BYTES, feature_folder
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import PRICES, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from qlib_shadow_runner.dataset.qlib_layout import Dataset

NONE: Final = math.nan


@dataclass(frozen=True)
class Series:
    """One field of one instrument: the index of its first day, and a value a day."""

    start: int
    values: array[float]

    def at(self, index: int) -> float:
        """Return the value of a day, or NaN."""
        if not self.start <= index < self.start + len(self.values):
            return NONE
        value = self.values[index - self.start]
        return value if math.isfinite(value) else NONE


EMPTY: Final = Series(0, array("f"))


@dataclass(frozen=True)
class Quotes:
    """The prices of one dataset; each file is read once."""

    dataset: Dataset
    _read: dict[tuple[str, str], Series] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the prices of a dataset."""
        return cls(dataset)

    @cached_property
    def calendar(self) -> tuple[date, ...]:
        """Return the trading days."""
        return self.dataset.calendar

    @cached_property
    def _indexes(self) -> Mapping[date, int]:
        return {day: number for number, day in enumerate(self.calendar)}

    def has(self, day: date) -> bool:
        """Return whether it is a trading day of the dataset."""
        return day in self._indexes

    def index(self, day: date) -> int:
        """Return the number of a trading day, from 0 on; raises KeyError for any other day."""
        return self._indexes[day]

    def between(self, day: date, last: date) -> tuple[date, ...]:
        """Return the trading days after a day, which need not be one, up to a last one."""
        return self.calendar[bisect_right(self.calendar, day) : bisect_right(self.calendar, last)]

    def get(self, name: str, symbol: str, index: int) -> float:
        """Return a field of an instrument on a day, or NaN where there is none."""
        found = self._read.get((name, symbol))
        if found is None:
            found = self._read[name, symbol] = self.series(name, symbol)
        return found.at(index)

    def day_return(self, symbol: str, index: int) -> float | None:
        """Return the change of a close since the day before; None where one of the two is missing."""
        before, now = (self.get("close", symbol, one) for one in (index - 1, index))
        return now / before - 1 if before > 0 and now > 0 else None

    def last(self, name: str, symbol: str, index: int) -> tuple[float, int]:
        """Return the last value up to a day, and the number of its day; NaN and -1 where there is none."""
        for number in range(index, -1, -1):
            value = self.get(name, symbol, number)
            if not math.isnan(value):
                return value, number
            if number < self._read[name, symbol].start:
                break
        return NONE, -1

    def factor(self, symbol: str, index: int) -> float:
        """Return the factor of a day, 1 where there is none."""
        value = self.get("factor", symbol, index)
        return value if value > 0 else 1.0

    def series(self, name: str, symbol: str) -> Series:
        """Return a field of an instrument on all days, read again each time it is asked for."""
        path = f"features/{feature_folder(symbol)}/{name}{BIN_SUFFIX}"
        try:
            content = read_file(self.dataset.folder, path, PRICES)
        except (FileNotFoundError, NotADirectoryError, UnsafeNameError):
            return EMPTY
        values = array("f")
        values.frombytes(content[: len(content) // FLOAT_BYTES * FLOAT_BYTES])
        if sys.byteorder == "big":
            values.byteswap()
        if not values or not math.isfinite(values[0]):
            return EMPTY
        return Series(int(values[0]), values[1:])


def lacks_factors(quotes: Quotes, symbols: Iterable[str], first: date, last: date) -> bool:
    """Return whether an instrument has a close and no factor on one of these days.

    Qlib trades such a market in fractions of shares, every instrument of it. A book that is to follow its
    backtest has no lot then: `Costs.trade_unit` is None.
    """
    begin, end = quotes.index(first), quotes.index(last) + 1
    for symbol in symbols:  # their files are not kept: a universe has thousands
        close, factor = (quotes.series(name, symbol) for name in ("close", "factor"))
        if any(math.isnan(factor.at(day)) and not math.isnan(close.at(day)) for day in range(begin, end)):
            return True
    return False
