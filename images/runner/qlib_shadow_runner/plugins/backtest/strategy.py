"""Qlib's TopkDropoutStrategy, which chooses on arrays what to sell and buy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from qlib.backtest.decision import Order, OrderDir, TradeDecisionWO
from qlib.contrib.strategy import signal_strategy

from qlib_shadow_runner.plugins.backtest._bookkeeping import QuickPosition, copy_of
from qlib_shadow_runner.plugins.backtest._scores import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from qlib.backtest.exchange import Exchange
    from qlib.backtest.position import Position

    from qlib_shadow_runner.plugins.backtest._scores import DayScores


@dataclass(frozen=True)
class TradeChoice:
    """What to sell, and what to buy."""

    sell: frozenset[str]
    buy: list[str]


@dataclass(frozen=True)
class TradingDay:
    """The day of a decision, and the exchange that decides what may be traded on it."""

    start: pd.Timestamp
    end: pd.Timestamp
    exchange: Exchange
    forbids_all_at_limit: bool

    def may_trade(self, code: str, direction: OrderDir | None) -> bool:
        """Return whether an instrument may be traded, in one direction or in both."""
        return bool(self.exchange.is_stock_tradable(code, self.start, self.end, direction))

    def allows(self, code: str, direction: OrderDir) -> bool:
        """Return whether an order in this direction may be made."""
        return self.may_trade(code, None if self.forbids_all_at_limit else direction)

    def order(self, code: str, amount: float, direction: OrderDir) -> Order:
        """Return an order of this day."""
        return Order(
            stock_id=code, amount=amount, start_time=self.start, end_time=self.end, direction=direction
        )


class TopkDropoutStrategy(signal_strategy.TopkDropoutStrategy):  # type: ignore[misc]
    """Qlib's strategy with the same arguments; random choices and other kinds of signals are left to Qlib."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        is_supported = self.method_sell == "bottom" and self.method_buy == "top"
        self._scores = Scores.of(self.signal) if is_supported else None

    def generate_trade_decision(self, execute_result: Any = None) -> TradeDecisionWO:
        """Return the orders of a day, decided by the scores of the day before."""
        if self._scores is None:
            return super().generate_trade_decision(execute_result)
        step = self.trade_calendar.get_trade_step()
        first, after = self._scores.days_within(*self.trade_calendar.get_step_time(step, shift=1))
        if after > first + 1:
            return super().generate_trade_decision(execute_result)
        if after <= first:
            return TradeDecisionWO([], self)
        start, end = self.trade_calendar.get_step_time(step)
        day = TradingDay(start, end, self.trade_exchange, self.forbid_all_trade_at_limit)
        return self._decide(self._scores.on(first), day)

    def _decide(self, scores: DayScores, day: TradingDay) -> TradeDecisionWO:
        position = copy_of(self.trade_position, QuickPosition)
        held = position.get_stock_list()
        choice = self._choose(scores, held, day)
        cash, sales = self._sell([code for code in held if code in choice.sell], position, day)
        return TradeDecisionWO(sales + self._buy(choice.buy, cash, day), self)

    def _choose(self, scores: DayScores, held: list[str], day: TradingDay) -> TradeChoice:
        last = scores.ranked(held)
        today = self._first(scores.others(held).tolist(), self.n_drop + self.topk - len(last), day)
        both = scores.ranked(sorted(last + today) if last and today else last or today)
        sell = frozenset(last).intersection(self._last(both, self.n_drop, day))
        return TradeChoice(sell, today[: len(sell) + self.topk - len(last)])

    def _first(self, codes: Sequence[str], count: int, day: TradingDay) -> list[str]:
        if not self.only_tradable:
            return list(codes[:count])
        # Qlib compares with the count only after it has found one.
        return list(islice((code for code in codes if day.may_trade(code, None)), max(count, 1)))

    def _last(self, codes: Sequence[str], count: int, day: TradingDay) -> list[str]:
        return self._first(codes[::-1], count, day) if self.only_tradable else list(codes[-count:])

    def _sell(self, codes: Sequence[str], position: Position, day: TradingDay) -> tuple[float, list[Order]]:
        cash, orders = position.get_cash(), []
        for code in codes:
            if not day.allows(code, OrderDir.SELL) or self._is_too_new(position, code):
                continue
            order = day.order(code, position.get_stock_amount(code=code), OrderDir.SELL)
            if self.trade_exchange.check_order(order):
                orders.append(order)
                value, cost, _ = self.trade_exchange.deal_order(order, position=position)
                cash += value - cost
        return cash, orders

    def _is_too_new(self, position: Position, code: str) -> bool:
        held_for = position.get_stock_count(code, bar=self.trade_calendar.get_freq())
        return bool(held_for < self.hold_thresh)

    def _buy(self, codes: Sequence[str], cash: float, day: TradingDay) -> list[Order]:
        value = cash * self.risk_degree / len(codes) if codes else 0
        exchange, orders = self.trade_exchange, []
        for code in codes:
            if not day.allows(code, OrderDir.BUY):
                continue
            price = exchange.get_deal_price(code, day.start, day.end, direction=OrderDir.BUY)
            factor = exchange.get_factor(code, day.start, day.end)
            amount = exchange.round_amount_by_trade_unit(value / price, factor)
            orders.append(day.order(code, amount, OrderDir.BUY))
        return orders
