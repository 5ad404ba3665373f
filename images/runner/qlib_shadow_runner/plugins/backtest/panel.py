"""Quotes as arrays, one row a day and one column an instrument, asked as Qlib asks its NumpyQuote.

Qlib asks for one instrument, from the beginning of a day to a second before the next one. It takes a shorter
way for a day that the next day follows than for one before a weekend, where a value that is missing is told
otherwise: each way is repeated here.
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
"""What NumpyQuote takes every market for; it matters within a day alone."""
DAY: Final = Freq.get_timedelta(1, Freq.NORM_FREQ_DAY)


class Days:
    """Days in their order, searched without pandas."""

    def __init__(self, days: pd.DatetimeIndex) -> None:
        self._days = days.to_numpy().astype("datetime64[ns]")

    def __len__(self) -> int:
        return len(self._days)

    def within(self, start: Any, end: Any) -> tuple[int, int]:
        """Find a span, both ends included, as places: of the first day, and of the one after the last."""
        first = self._days.searchsorted(pd.Timestamp(start).to_datetime64())
        after = self._days.searchsorted(pd.Timestamp(end).to_datetime64(), side="right")
        return int(first), int(after)

    def is_at(self, place: int, day: Any) -> bool:
        """Say whether a place is there and is that of this day."""
        return place < len(self) and bool(self._days[place] == pd.Timestamp(day).to_datetime64())


class QuoteSpan(NamedTuple):
    """A span of time: its rows, whether Qlib takes it for one value, and the quotes of its first row."""

    begin: int
    end: int
    is_single: bool
    quotes: dict[str, Floats]
    there: npt.NDArray[np.bool_]
    tradable: dict[tuple[str, ...], list[bool]]
    """Whether each instrument may be traded, by the limits that forbid it; made when it is asked for."""


class PanelQuote(BaseQuote):  # type: ignore[misc]
    """Answers as NumpyQuote does, for daily quotes."""

    def __init__(self, quote_df: pd.DataFrame, freq: str, region: str = REGION) -> None:
        super().__init__(quote_df=quote_df, freq=freq)
        codes, names = pd.factorize(quote_df.index.get_level_values("instrument"))
        rows, days = pd.factorize(quote_df.index.get_level_values("datetime"), sort=True)
        self._days = pd.DatetimeIndex(days)
        self._rows = Days(self._days)
        self._columns = {str(name): number for number, name in enumerate(names)}
        self._region = region
        place = rows * len(names) + codes
        self._shape = len(days), len(names)
        self._fields = {name: self._spread(quote_df[name], place) for name in quote_df.columns}
        self._there = np.zeros(self._shape, bool)
        self._there.ravel()[place] = True
        self._asked: tuple[Any, Any] = (None, None)
        self._moment = QuoteSpan(0, 0, True, {}, np.empty(0, bool), {})  # noqa: FBT003

    def _spread(self, column: pd.Series, place: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        values = column.to_numpy()
        panel = np.full(self._shape, np.nan, np.float32 if values.dtype.itemsize <= 4 else np.float64)  # noqa: PLR2004
        panel.ravel()[place] = values
        return panel

    def get_all_stock(self) -> KeysView[str]:
        """Name the instruments that have quotes."""
        return self._columns.keys()

    def get_data(
        self, stock_id: str, start_time: Any, end_time: Any, field: str, method: str | None = None
    ) -> Any:
        """Give a field of an instrument in a span of time, or None."""
        column = self._columns.get(stock_id)
        if column is None:
            return None
        moment = self._find(start_time, end_time)
        if not moment.is_single:
            return self._aggregate(moment, column, field, method)
        return moment.quotes[field][column] if moment.there[column] else None

    def close(self, stock_id: str, start_time: Any, end_time: Any) -> Any:
        """Give the last close that is a number in a span of time, or None or NaN."""
        return self.get_data(stock_id, start_time, end_time, "$close", "ts_data_last")

    def closes(self, stock_ids: Iterable[str], start_time: Any, end_time: Any) -> list[Any]:
        """Give the last close of each instrument; NaN or None where there is none."""
        moment = self._find(start_time, end_time)
        if moment.end - moment.begin != 1:
            return [self.close(name, start_time, end_time) for name in stock_ids]
        close, there = moment.quotes["$close"], moment.there
        columns = [self._columns.get(name) for name in stock_ids]
        return [None if place is None or not there[place] else close[place] for place in columns]

    def may_trade(
        self, stock_id: str, start_time: Any, end_time: Any, limits: tuple[str, ...]
    ) -> bool | None:
        """Say whether an instrument has a close and none of these limits; None for a span of more rows."""
        moment = self._find(start_time, end_time)
        if moment.end - moment.begin != 1:
            return None
        if limits not in moment.tradable:
            moment.tradable[limits] = _tradable(moment, limits)
        column = self._columns.get(stock_id)
        return column is not None and moment.tradable[limits][column]

    def _find(self, start: Any, end: Any) -> QuoteSpan:
        asked = self._asked
        if asked[0] is start and asked[1] is end:
            return self._moment
        is_single = is_single_value(start, end, DAY, self._region)
        begin, stop = self._rows.within(start, end)
        if is_single and not self._rows.is_at(begin, start):
            stop = begin
        self._asked, self._moment = (start, end), self._read(begin, stop, is_single=is_single)
        return self._moment

    def _read(self, begin: int, end: int, *, is_single: bool) -> QuoteSpan:
        if begin >= end:
            return QuoteSpan(begin, end, is_single, {}, np.zeros(self._shape[1], bool), {})
        quotes = {name: panel[begin].astype(np.float64) for name, panel in self._fields.items()}
        return QuoteSpan(begin, end, is_single, quotes, self._there[begin], {})

    def _aggregate(self, moment: QuoteSpan, column: int, field: str, method: str | None) -> Any:
        if moment.end - moment.begin > 1 or method in (None, "mean"):
            return self._aggregate_by_qlib(moment, column, field, method)
        if moment.begin >= moment.end or not moment.there[column]:
            return None
        value = moment.quotes[field][column]
        if method == "all":
            return bool(value)
        if np.isnan(value):
            return None if method == "ts_data_last" else np.float64(0) if method == "sum" else value
        return value

    def _aggregate_by_qlib(self, moment: QuoteSpan, column: int, field: str, method: str | None) -> Any:
        there = self._there[moment.begin : moment.end, column]
        if not there.any():
            return None
        values = self._fields[field][moment.begin : moment.end, column][there]
        days = self._days[moment.begin : moment.end][there]
        data = SingleData(values.astype(np.float64), days)
        return data if method is None else NumpyQuote._agg_data(data, method)  # noqa: SLF001


def _tradable(moment: QuoteSpan, limits: tuple[str, ...]) -> list[bool]:
    found = moment.there & ~np.isnan(moment.quotes["$close"])
    for limit in limits:
        found &= ~moment.quotes[limit].astype(bool)
    tradable: list[bool] = found.tolist()
    return tradable
