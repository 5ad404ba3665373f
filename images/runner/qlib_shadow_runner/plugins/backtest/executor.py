"""Qlib's executor for daily bars, with an account that records each day faster."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from qlib.backtest import executor
from qlib.backtest.utils import TradeCalendarManager

from qlib_shadow_runner.plugins.backtest._bookkeeping import DailyAccount

if TYPE_CHECKING:
    import pandas as pd
    from qlib.backtest.decision import BaseTradeDecision, Order
    from qlib.backtest.utils import CommonInfrastructure

    Span = tuple[pd.Timestamp, pd.Timestamp]
    Trade = tuple[Order, float, float, float]


class StepCalendar(TradeCalendarManager):  # type: ignore[misc]
    """Qlib's calendar, which computes the two ends of a step once."""

    def reset(self, *given: Any, **named: Any) -> None:
        """Reset as Qlib does, and forget all steps."""
        self._spans: dict[int, Span] = {}
        super().reset(*given, **named)

    def get_step_time(self, trade_step: int | None = None, shift: int = 0) -> Span:
        """Return both ends of a step."""
        step = (self.trade_step if trade_step is None else trade_step) - shift
        if step not in self._spans:
            self._spans[step] = super().get_step_time(step)
        return self._spans[step]


class SimulatorExecutor(executor.SimulatorExecutor):  # type: ignore[misc]
    """Qlib's executor with the same arguments."""

    deal_day: pd.Timestamp | None
    dealt_order_amount: dict[str, float]

    def reset(self, common_infra: CommonInfrastructure | None = None, **kwargs: Any) -> None:
        """Reset as Qlib does, with our calendar."""
        span = {name: kwargs.get(name) for name in ("start_time", "end_time")}
        if not kwargs.keys().isdisjoint(span) and not hasattr(self.level_infra, "trade_calendar"):
            calendar = StepCalendar(self.time_per_step, **span, level_infra=self.level_infra)
            self.level_infra.reset_infra(trade_calendar=calendar)
        super().reset(common_infra, **kwargs)

    def reset_common_infra(
        self,
        common_infra: CommonInfrastructure,
        copy_trade_account: bool = False,  # noqa: FBT001, FBT002 - Qlib's argument
    ) -> None:
        """Replace the account by ours, before the first trade."""
        if common_infra.has("trade_account"):
            account = common_infra.get("trade_account")
            if not isinstance(account, DailyAccount):
                common_infra.reset_infra(trade_account=DailyAccount.of(account))
        super().reset_common_infra(common_infra, copy_trade_account=copy_trade_account)

    def _collect_data(
        self, trade_decision: BaseTradeDecision, level: int = 0
    ) -> tuple[list[Trade], dict[str, list[Trade]]]:
        """Execute the orders of a step, which are all of one day, and return the trades."""
        orders = self._get_order_iterator(trade_decision)
        if self.verbose or not orders:
            return super()._collect_data(trade_decision, level)  # type: ignore[no-any-return]
        self._begin_day(self.trade_calendar.get_step_time()[0].floor(freq="D"))
        trades = [self._deal(order) for order in orders]
        return trades, {"trade_info": trades}

    def _begin_day(self, day: pd.Timestamp) -> None:
        if self.deal_day is None or day > self.deal_day:
            self.dealt_order_amount, self.deal_day = defaultdict(float), day

    def _deal(self, order: Order) -> Trade:
        figures = self.trade_exchange.deal_order(
            order, trade_account=self.trade_account, dealt_order_amount=self.dealt_order_amount
        )
        self.dealt_order_amount[order.stock_id] += order.deal_amount
        return order, *figures
