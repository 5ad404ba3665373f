"""Qlib's exchange for daily bars: reads quotes by our loader, and looks them up in a panel of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from qlib.backtest import exchange
from qlib.backtest.decision import OrderDir
from qlib.data import D

from qlib_shadow_runner.engine.expressions import Unsupported
from qlib_shadow_runner.plugins._feature_computation import FeatureComputation
from qlib_shadow_runner.plugins._feature_request import FeatureRequest
from qlib_shadow_runner.plugins._feature_stats import FeatureStats
from qlib_shadow_runner.plugins.backtest._bookkeeping import is_plain
from qlib_shadow_runner.plugins.backtest._panel import PanelQuote
from qlib_shadow_runner.plugins.loader import QlibDataLoader

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from qlib.backtest.decision import Order
    from qlib.backtest.position import BasePosition


LIMITS: Final[Mapping[int | None, tuple[str, ...]]] = {
    None: ("limit_buy", "limit_sell"),
    OrderDir.BUY: ("limit_buy",),
    OrderDir.SELL: ("limit_sell",),
}
"""The columns that forbid a trade in one direction, or in any."""


class Exchange(exchange.Exchange):  # type: ignore[misc]
    """Qlib's exchange with the same arguments; other frequencies and extra quotes are left to Qlib."""

    codes: Any
    """A universe as Qlib describes it, or the names of instruments."""

    def __init__(self, freq: str = "day", **kwargs: Any) -> None:
        self._is_plain = freq == "day" and kwargs.get("extra_quote") is None and "quote_cls" not in kwargs
        if self._is_plain:
            kwargs["quote_cls"] = PanelQuote
        super().__init__(freq=freq, **kwargs)

    def get_quote_from_qlib(self) -> None:
        """Read the quotes, and set the limits and the trade unit as Qlib does."""
        if not self._is_plain:
            super().get_quote_from_qlib()
            return
        if len(self.codes) == 0:
            self.codes = D.instruments()
        self.quote_df = self._read_quotes()
        for price in dict.fromkeys((self.buy_price, self.sell_price)):
            if self.quote_df[price].isna().any():
                self.logger.warning("%s field data contains nan.", price)
        self.trade_w_adj_price = self._lacks_factors()
        self._update_limit(self.limit_threshold)

    def _read_quotes(self) -> pd.DataFrame:
        # Without cache and statistics: quotes cost little, and are not the run's features.
        loader = QlibDataLoader(sorted(self.all_fields))
        span = self.codes, self.start_time, self.end_time
        try:
            return FeatureComputation(loader, FeatureRequest.of(loader, *span), FeatureStats(), None).frame()
        except Unsupported as what:
            self.logger.warning("The quotes are read by Qlib's own engine: it alone understands %s.", what)
            frame: pd.DataFrame = super(QlibDataLoader, loader).load(*span)
            return frame

    def _lacks_factors(self) -> bool:
        lacking = bool((self.quote_df["$factor"].isna() & ~self.quote_df["$close"].isna()).any())
        if lacking:
            self.logger.warning(
                "factor.day.bin file not exists or factor contains `nan`. Order using adjusted_price."
            )
            if self.trade_unit is not None:
                self.logger.warning("trade unit %s is not supported in adjusted_price mode.", self.trade_unit)
        return lacking

    def is_stock_tradable(
        self, stock_id: str, start_time: Any, end_time: Any, direction: int | None = None
    ) -> bool:
        """Return whether an instrument is neither suspended nor at a limit."""
        if self._is_plain and direction in LIMITS:
            known = self.quote.may_trade(stock_id, start_time, end_time, LIMITS[direction])
            if known is not None:
                return bool(known)
        return bool(super().is_stock_tradable(stock_id, start_time, end_time, direction))

    def check_stock_suspended(self, stock_id: str, start_time: Any, end_time: Any) -> bool:
        """Return whether an instrument has no close in a span of time."""
        if not self._is_plain:
            return bool(super().check_stock_suspended(stock_id, start_time, end_time))
        close = self.quote.close(stock_id, start_time, end_time)
        return close is None or bool(np.isnan(close))

    def _calc_trade_info_by_order(
        self, order: Order, position: BasePosition | None, dealt_order_amount: dict[str, float]
    ) -> tuple[float, float, float]:
        """Return price, value and cost of an order, with a short path for the sale of a whole holding."""
        if position is not None and is_plain(position) and order.direction == OrderDir.SELL:
            found = super()._calc_trade_info_by_order(order, None, dealt_order_amount)
            _, value, cost = found
            if (
                order.deal_amount == position.get_stock_amount(order.stock_id)
                and position.get_cash() + value >= cost > 0
            ):
                return found  # type: ignore[no-any-return]
        return super()._calc_trade_info_by_order(order, position, dealt_order_amount)  # type: ignore[no-any-return]
