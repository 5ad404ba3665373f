"""What the account records of each day: its positions, the benchmark's change, and the figures of each order.

The recorded objects are of Qlib's own classes, so that unpickling them needs nothing of this package.
"""

from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard

import numpy as np
import pandas as pd
from qlib.backtest.account import Account
from qlib.backtest.position import Position
from qlib.backtest.report import Indicator, PortfolioMetrics
from qlib.utils.index_data import Index, SingleData

from qlib_shadow_runner.plugins.backtest._panel import Days, PanelQuote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from qlib.backtest.decision import Order
    from qlib.backtest.exchange import Exchange

    Floats = npt.NDArray[np.float64]

COLUMNS: Final = ("amount", "deal_amount", "trade_price", "trade_value", "trade_cost", "trade_dir", "pa")
WHOLE: Final = 1e-9
"""The largest share of a holding that may remain after a sale of all of it; Qlib's own limit is wider."""


class QuickPosition(Position):  # type: ignore[misc]
    """Qlib's position with a short path for the sale of a whole holding."""

    def _sell_stock(self, stock_id: str, trade_val: float, cost: float, trade_price: float) -> None:
        sold, held = trade_val / trade_price, self.get_stock_amount(stock_id)
        if (
            stock_id in self.position
            and abs(held - sold) <= WHOLE * abs(held)
            and self._settle_type == self.ST_NO
        ):
            self._del_stock(stock_id)
            self.position["cash"] += trade_val - cost
        else:
            super()._sell_stock(stock_id, trade_val, cost, trade_price)


def copy_of(position: Position, kind: type[Position] = Position) -> Position:
    """Return a copy of a position and of its entry for each instrument."""
    if not is_plain(position):
        return copy.deepcopy(position)
    copied = object.__new__(kind)
    copied.__dict__.update(position.__dict__)
    copied.position = {
        name: value.copy() if type(value) is dict else value for name, value in position.position.items()
    }
    return copied


def is_plain(position: Any) -> bool:
    """Return whether a position is of Qlib's usual class."""
    return type(position) in (Position, QuickPosition)


class DailyAccount(Account):  # type: ignore[misc]
    """Qlib's account, which records each day faster."""

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return an account in the state of one of Qlib's."""
        ours = object.__new__(cls)
        ours.__dict__.update(account.__dict__)
        if is_plain(account.current_position):
            ours.current_position = copy_of(account.current_position, QuickPosition)
        return ours

    def reset_report(self, freq: str, benchmark_config: dict[str, Any]) -> None:
        """Start new records, as Qlib does."""
        if self.is_port_metr_enabled():
            self.portfolio_metrics = DailyMetrics(freq, benchmark_config)
            self.hist_positions: dict[pd.Timestamp, Position] = {}
            if isinstance(self.benchmark_config, dict) and "start_time" in self.benchmark_config:
                self.current_position.fill_stock_value(self.benchmark_config["start_time"], self.freq)
        self.indicator = DailyIndicator()

    def update_current_position(
        self, trade_start_time: pd.Timestamp, trade_end_time: pd.Timestamp, trade_exchange: Exchange
    ) -> None:
        """Set the price of each holding to the day's close, where there is one, and count the day."""
        if not is_plain(self.current_position) or not isinstance(trade_exchange.quote, PanelQuote):
            super().update_current_position(trade_start_time, trade_end_time, trade_exchange)
            return
        held = self.current_position.get_stock_list()
        closes = trade_exchange.quote.closes(held, trade_start_time, trade_end_time)
        for code, close in zip(held, closes, strict=True):
            if close is not None and not math.isnan(close):
                self.current_position.position[code]["price"] = close
        self.current_position.add_count_all(bar=self.freq)

    def update_hist_positions(self, trade_start_time: pd.Timestamp) -> None:
        """Record the position at the end of a day, with the weight of each instrument."""
        position = self.current_position.position
        value = position["now_account_value"] = self.current_position.calculate_value()
        for code in self.current_position.get_stock_list():
            holding = position[code]
            holding["weight"] = holding["amount"] * holding["price"] / value
        self.hist_positions[trade_start_time] = copy_of(self.current_position)

    def get_trade_indicator(self) -> Indicator:
        """Return the indicators of the orders, as an object of Qlib's class."""
        found = object.__new__(Indicator)
        found.__dict__.update(self.indicator.__dict__)
        return found


class DailyMetrics(PortfolioMetrics):  # type: ignore[misc]
    """Qlib's metrics, which look up the benchmark's change by day."""

    def init_bench(self, freq: str | None = None, benchmark_config: dict[str, Any] | None = None) -> None:
        """Read the benchmark."""
        super().init_bench(freq, benchmark_config)
        self._days = Days(pd.DatetimeIndex(self.bench.index)) if _is_plain(self.bench) else None

    def _sample_benchmark(self, bench: pd.Series | None, trade_start_time: Any, trade_end_time: Any) -> Any:
        if self._days is None or bench is not self.bench:
            return super()._sample_benchmark(bench, trade_start_time, trade_end_time)
        first, after = self._days.within(trade_start_time, trade_end_time)
        # Qlib's product over days leaves out those without a value.
        if after != first + 1 or math.isnan(bench.array[first]):
            return super()._sample_benchmark(bench, trade_start_time, trade_end_time)
        return bench.array[first] + 1 - 1


class DailyIndicator(Indicator):  # type: ignore[misc]
    """Qlib's indicators, computed from one table of all orders of a day."""

    def update_order_indicators(self, trade_info: list[tuple[Order, float, float, float]]) -> None:
        """Record the orders of a day."""
        if not trade_info:
            super().update_order_indicators(trade_info)
            return
        rows = {order.stock_id: _figures(order, *rest) for order, *rest in trade_info}
        table = np.array(list(rows.values()), np.float64)
        index = Index(tuple(rows))
        columns = {
            name: _series(np.ascontiguousarray(values), index)
            for name, values in zip(COLUMNS, table.T, strict=True)
        }
        for name in ("amount", "inner_amount", *COLUMNS[1:]):
            self.order_indicator.data[name] = columns["amount" if name == "inner_amount" else name]
        shares = columns["deal_amount"].data / columns["amount"].data
        self.order_indicator.data["ffr"] = _series(shares, index)

    def cal_trade_indicators(
        self,
        trade_start_time: str | pd.Timestamp,
        freq: str,
        indicator_config: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Compute the day's indicators from its orders."""
        found = {name: series.data for name, series in self.order_indicator.data.items()}
        if indicator_config or not len(found["amount"]) or np.isnan(list(found.values())).any():
            super().cal_trade_indicators(trade_start_time, freq, indicator_config)
            return
        count = len(found["amount"])
        self.trade_indicator.update(
            ffr=found["ffr"].sum() / count,
            pa=found["pa"].sum() / count,
            pos=(found["pa"] > 0).sum() / count,
            deal_amount=np.abs(found["deal_amount"]).sum(),
            value=np.abs(found["trade_value"]).sum(),
            count=count,
        )


def _figures(order: Order, value: float, cost: float, price: float) -> tuple[float, ...]:
    return order.amount_delta, order.deal_amount_delta, price, value * order.sign, cost, order.direction, 0


def _series(values: Floats, index: Index) -> SingleData:
    """Return Qlib's series without its check of each value."""
    series = object.__new__(SingleData)
    series.data, series.indices, series.ndim = values, [index], 1
    return series


def _is_plain(bench: pd.Series | None) -> TypeGuard[pd.Series]:
    return (
        bench is not None
        and isinstance(bench.index, pd.DatetimeIndex)
        and bench.dtype in (np.float32, np.float64)
        and bench.index.is_monotonic_increasing
    )
