"""Quotes as arrays, one row a day and one column an instrument, with the results of Qlib's NumpyQuote.

Qlib looks up one instrument at a time, from the beginning of a day to a second before the next one. For a day
directly before another trading day it has a short path, whose result for a missing value differs from that of
the path for a day before a weekend. Both are repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
from qlib.backtest.high_performance_ds import BaseQuote, NumpyQuote
from qlib.utils.index_data import SingleData
from qlib.utils.time import Freq, is_single_value

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

REGION: Final = "cn"
"""The region that NumpyQuote assumes for every market; it matters only within a day."""
DAY: Final = Freq.get_timedelta(1, Freq.NORM_FREQ_DAY)


class Days:
    """Sorted days, searched without pandas."""

    def __init__(self, days: pd.DatetimeIndex) -> None:
        self._days = days.to_numpy().astype("datetime64[ns]")

    def __len__(self) -> int:
        return len(self._days)

    def within(self, start: Any, end: Any) -> tuple[int, int]:
        """Return the numbers of the first day of a span and of the day after its last one."""
        first = self._days.searchsorted(pd.Timestamp(start).to_datetime64())
        after = self._days.searchsorted(pd.Timestamp(end).to_datetime64(), side="right")
        return int(first), int(after)

    def is_at(self, number: int, day: Any) -> bool:
        """Return whether the day of this number exists and is the given one."""
        return number < len(self) and bool(self._days[number] == pd.Timestamp(day).to_datetime64())


class QuoteSpan(NamedTuple):
    """A span of time: its rows, whether Qlib treats it as one value, and the quotes of its first row."""

    begin: int
    end: int
    is_single: bool
    quotes: dict[str, Floats]
    present: npt.NDArray[np.bool_]
    tradable: dict[tuple[str, ...], list[bool]]
    """For each set of limits, whether each instrument may be traded; filled when it is first needed."""


class PanelQuote(BaseQuote):  # type: ignore[misc]
    """NumpyQuote with the same results, for daily quotes."""

    def __init__(self, quote_df: pd.DataFrame, freq: str, region: str = REGION) -> None:
        super().__init__(quote_df=quote_df, freq=freq)
        codes, names = pd.factorize(quote_df.index.get_level_values("instrument"))
        rows, days = pd.factorize(quote_df.index.get_level_values("datetime"), sort=True)
        self._days = pd.DatetimeIndex(days)
        self._rows = Days(self._days)
        self._columns = {str(name): number for number, name in enumerate(names)}
        self._region = region
        cells = rows * len(names) + codes
        self._shape = len(days), len(names)
        self._fields = {name: self._spread(quote_df[name], cells) for name in quote_df.columns}
        self._present = np.zeros(self._shape, bool)
        self._present.ravel()[cells] = True
        self._last_ends: tuple[Any, Any] = (None, None)
        self._last_span = QuoteSpan(0, 0, True, {}, np.empty(0, bool), {})  # noqa: FBT003

    def _spread(self, column: pd.Series, cells: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        values = column.to_numpy()
        panel = np.full(self._shape, np.nan, np.float32 if values.dtype.itemsize <= 4 else np.float64)  # noqa: PLR2004
        panel.ravel()[cells] = values
        return panel

    def get_all_stock(self) -> KeysView[str]:
        """Return the instruments that have quotes."""
        return self._columns.keys()

    def get_data(
        self, stock_id: str, start_time: Any, end_time: Any, field: str, method: str | None = None
    ) -> Any:
        """Return a field of an instrument in a span of time, or None."""
        column = self._columns.get(stock_id)
        if column is None:
            return None
        span = self._find(start_time, end_time)
        if not span.is_single:
            return self._aggregate(span, column, field, method)
        return span.quotes[field][column] if span.present[column] else None

    def close(self, stock_id: str, start_time: Any, end_time: Any) -> Any:
        """Return the last close that is a number in a span of time; NaN or None where there is none."""
        return self.get_data(stock_id, start_time, end_time, "$close", "ts_data_last")

    def closes(self, stock_ids: Iterable[str], start_time: Any, end_time: Any) -> list[Any]:
        """Return the last close of each instrument; NaN or None where there is none."""
        span = self._find(start_time, end_time)
        if span.end - span.begin != 1:
            return [self.close(name, start_time, end_time) for name in stock_ids]
        close, present = span.quotes["$close"], span.present
        columns = [self._columns.get(name) for name in stock_ids]
        return [None if column is None or not present[column] else close[column] for column in columns]

    def may_trade(
        self, stock_id: str, start_time: Any, end_time: Any, limits: tuple[str, ...]
    ) -> bool | None:
        """Return whether an instrument has a close and none of these limits; None for a longer span."""
        span = self._find(start_time, end_time)
        if span.end - span.begin != 1:
            return None
        if limits not in span.tradable:
            span.tradable[limits] = _tradable(span, limits)
        column = self._columns.get(stock_id)
        return column is not None and span.tradable[limits][column]

    def _find(self, start: Any, end: Any) -> QuoteSpan:
        if self._last_ends[0] is start and self._last_ends[1] is end:
            return self._last_span
        is_single = is_single_value(start, end, DAY, self._region)
        begin, stop = self._rows.within(start, end)
        if is_single and not self._rows.is_at(begin, start):
            stop = begin
        self._last_ends, self._last_span = (start, end), self._read(begin, stop, is_single=is_single)
        return self._last_span

    def _read(self, begin: int, end: int, *, is_single: bool) -> QuoteSpan:
        if begin >= end:
            return QuoteSpan(begin, end, is_single, {}, np.zeros(self._shape[1], bool), {})
        quotes = {name: panel[begin].astype(np.float64) for name, panel in self._fields.items()}
        return QuoteSpan(begin, end, is_single, quotes, self._present[begin], {})

    def _aggregate(self, span: QuoteSpan, column: int, field: str, method: str | None) -> Any:
        if span.end - span.begin > 1 or method in (None, "mean"):
            return self._aggregate_by_qlib(span, column, field, method)
        if span.begin >= span.end or not span.present[column]:
            return None
        value = span.quotes[field][column]
        if method == "all":
            return bool(value)
        if np.isnan(value):
            return None if method == "ts_data_last" else np.float64(0) if method == "sum" else value
        return value

    def _aggregate_by_qlib(self, span: QuoteSpan, column: int, field: str, method: str | None) -> Any:
        present = self._present[span.begin : span.end, column]
        if not present.any():
            return None
        values = self._fields[field][span.begin : span.end, column][present]
        days = self._days[span.begin : span.end][present]
        data = SingleData(values.astype(np.float64), days)
        return data if method is None else NumpyQuote._agg_data(data, method)  # noqa: SLF001


def _tradable(span: QuoteSpan, limits: tuple[str, ...]) -> list[bool]:
    found = span.present & ~np.isnan(span.quotes["$close"])
    for limit in limits:
        found &= ~span.quotes[limit].astype(bool)
    tradable: list[bool] = found.tolist()
    return tradable
