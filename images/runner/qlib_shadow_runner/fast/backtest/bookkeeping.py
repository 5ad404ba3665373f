"""What the account keeps of each day: its positions, the benchmark's change, and the figures of each order.

What is kept is of Qlib's own classes, so that whoever unpickles it needs nothing of this package.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np
import pandas as pd
from qlib.backtest.account import Account
from qlib.backtest.position import Position
from qlib.backtest.report import Indicator, PortfolioMetrics
from qlib.utils.index_data import Index, SingleData

if TYPE_CHECKING:
    import numpy.typing as npt
    from qlib.backtest.decision import Order

COLUMNS = ("amount", "deal_amount", "trade_price", "trade_value", "trade_cost", "trade_dir", "pa")


def copy_of(position: Position) -> Position:
    """Copy a position and what it says of each instrument."""
    if type(position) is not Position:
        return copy.deepcopy(position)
    copied = object.__new__(Position)
    copied.__dict__.update(position.__dict__)
    copied.position = {
        name: dict(value) if isinstance(value, dict) else value for name, value in position.position.items()
    }
    return copied


class DailyAccount(Account):  # type: ignore[misc]
    """Qlib's account, keeping its books faster."""

    @classmethod
    def of(cls, account: Account) -> Self:
        """Go on with an account of Qlib's."""
        ours = object.__new__(cls)
        ours.__dict__.update(account.__dict__)
        return ours

    def reset_report(self, freq: str, benchmark_config: dict[str, Any]) -> None:
        """Begin new books."""
        if self.is_port_metr_enabled():
            self.portfolio_metrics = DailyMetrics(freq, benchmark_config)
            self.hist_positions: dict[pd.Timestamp, Position] = {}
            if isinstance(self.benchmark_config, dict) and "start_time" in self.benchmark_config:
                self.current_position.fill_stock_value(self.benchmark_config["start_time"], self.freq)
        self.indicator = DailyIndicator()

    def update_hist_positions(self, trade_start_time: pd.Timestamp) -> None:
        """Keep the position at the end of a day."""
        self.current_position.position["now_account_value"] = self.current_position.calculate_value()
        self.current_position.update_weight_all()
        self.hist_positions[trade_start_time] = copy_of(self.current_position)

    def get_trade_indicator(self) -> Indicator:
        """Give what was kept of the orders."""
        kept = object.__new__(Indicator)
        kept.__dict__.update(self.indicator.__dict__)
        return kept


class DailyMetrics(PortfolioMetrics):  # type: ignore[misc]
    """Qlib's metrics, looking the benchmark's change up by its day."""

    def _sample_benchmark(self, bench: pd.Series | None, trade_start_time: Any, trade_end_time: Any) -> Any:
        if not _is_plain(bench):
            return super()._sample_benchmark(bench, trade_start_time, trade_end_time)
        first = bench.index.searchsorted(trade_start_time)
        after = bench.index.searchsorted(trade_end_time, side="right")
        if after != first + 1:
            return super()._sample_benchmark(bench, trade_start_time, trade_end_time)
        return bench.array[first] + 1 - 1


class DailyIndicator(Indicator):  # type: ignore[misc]
    """Qlib's indicators, made of one table for all orders of a day."""

    def update_order_indicators(self, trade_info: list[tuple[Order, float, float, float]]) -> None:
        """Note the orders of a day."""
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


def _figures(order: Order, value: float, cost: float, price: float) -> tuple[float, ...]:
    return order.amount_delta, order.deal_amount_delta, price, value * order.sign, cost, order.direction, 0


def _series(values: npt.NDArray[np.float64], index: Index) -> SingleData:
    """Make Qlib's series without looking at each value again."""
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
