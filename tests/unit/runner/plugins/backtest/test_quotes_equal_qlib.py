"""The panel returns what Qlib's NumpyQuote returns, and our loader reads the same quotes."""

from __future__ import annotations

import itertools
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qlib.backtest.decision import OrderDir
from qlib.backtest.exchange import Exchange as QlibsExchange
from qlib.backtest.high_performance_ds import NumpyQuote
from qlib.backtest.utils import TradeCalendarManager
from qlib.config import C
from qlib.utils.index_data import SingleData
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.plugins.backtest.trading import Market, Stock, open_market

from qlib_shadow_runner.plugins.backtest._panel import PanelQuote
from qlib_shadow_runner.plugins.backtest.exchange import Exchange
from qlib_shadow_runner.plugins.backtest.executor import StepCalendar

if TYPE_CHECKING:
    from pathlib import Path

SECOND = pd.Timedelta(seconds=1)
METHODS = (None, "ts_data_last", "all", "sum", "mean", "last")
MARKET = Market(
    20,
    {
        "AAA": Stock(0, 20, 1),
        "BBB": Stock(0, 20, 2, suspended=0.4),
        "CCC": Stock(4, 6, 3, holes=0.3),
        "DDD": Stock(0, 20, 4, missing=("factor", "vwap")),
    },
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the market once."""
    return MARKET.write(tmp_path_factory.mktemp("quotes") / "market")


@pytest.fixture
def opened(market: Path) -> None:
    """Let Qlib open it."""
    open_market(market)


def exchanges(**kwargs: Any) -> tuple[QlibsExchange, Exchange]:
    """Return Qlib's exchange and ours."""
    asked: dict[str, Any] = {
        "codes": list(MARKET.stocks),
        "deal_price": "close",
        "start_time": "2020-01-02",
        **kwargs,
    }
    return QlibsExchange(**asked), Exchange(**asked)


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("limit", [None, 0.03])
def test_quotes_equal_qlib(limit: float | None) -> None:
    """Each field on each day, limits included."""
    theirs, ours = exchanges(limit_threshold=limit)
    order = list(theirs.quote_df.columns)
    expected = theirs.quote_df.swaplevel().sort_index()
    pd.testing.assert_frame_equal(expected, ours.quote_df[order].sort_index(), check_exact=True)
    assert theirs.trade_w_adj_price == ours.trade_w_adj_price


@pytest.mark.usefixtures("opened")
def test_every_lookup_equals_qlib() -> None:
    """One day, the days before a weekend, many days, none; an unknown symbol."""
    theirs, ours = (made.quote for made in exchanges(limit_threshold=0.03))
    assert type(theirs) is NumpyQuote
    assert type(ours) is PanelQuote
    asked = itertools.product(
        [*MARKET.stocks, "ZZZ"], spans_of_time(), ["$close", "$factor", "limit_buy"], METHODS
    )
    for stock, span, field, method in asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Qlib averages over nothing
            answers = [side.get_data(stock, *span, field, method) for side in (theirs, ours)]
        assert same(*answers), (stock, span, field, method, answers)


@pytest.mark.usefixtures("opened")
def test_tradable_instruments_equal_qlib() -> None:
    """In each span, to buy, to sell, or both; and the closes of many at once equal those of each."""
    theirs, ours = exchanges(limit_threshold=0.03)
    names, found = [*MARKET.stocks, "ZZZ"], set()
    for span in spans_of_time():
        for name, direction in itertools.product(names, (None, OrderDir.BUY, OrderDir.SELL)):
            answers = [side.is_stock_tradable(name, *span, direction) for side in (theirs, ours)]
            assert answers[0] == answers[1], (name, span, direction)
            found.add((direction, answers[1]))
        closes = [theirs.get_close(name, *span) for name in names]
        for close, one in zip(closes, ours.quote.closes(names, *span), strict=True):
            assert same(*(np.nan if value is None else value for value in (close, one))), span
    assert len(found) == 6, "each direction is allowed somewhere, and forbidden elsewhere"


@pytest.mark.usefixtures("opened")
def test_step_times_equal_qlib() -> None:
    """By number, by shift, for the current step, and after a reset."""
    dates = weekdays(MARKET.length)
    theirs, ours = (kind("day", dates[2], dates[9]) for kind in (TradeCalendarManager, StepCalendar))
    for calendars in ((theirs, ours), (theirs, ours)):
        for asked in ((), (1,), (4, 1), (None, 2), (0, -1)):
            assert calendars[0].get_step_time(*asked) == calendars[1].get_step_time(*asked)
        for calendar in calendars:
            calendar.step()
    for calendar in (theirs, ours):
        calendar.reset("day", dates[5], dates[8])
    assert theirs.get_step_time() == ours.get_step_time()


@pytest.mark.usefixtures("opened")
def test_unknown_method_is_refused() -> None:
    """With Qlib's error."""
    _, ours = exchanges()
    with pytest.raises(ValueError, match="median is not supported"):
        ours.quote.get_data("AAA", pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-09"), "$close", "median")


@pytest.mark.usefixtures("opened")
def test_extra_quotes_are_left_to_qlib() -> None:
    """They are rows that no file has."""
    days = pd.DatetimeIndex(["2020-01-06"])
    more = pd.DataFrame(
        {"$close": [3.0], "$volume": [9.0]},
        pd.MultiIndex.from_product([["NEW"], days], names=["instrument", "datetime"]),
    )
    theirs, ours = exchanges(extra_quote=more)
    assert type(ours.quote) is NumpyQuote
    span = days[0], days[0] + pd.Timedelta(days=1) - SECOND
    assert ours.quote.get_data("NEW", *span, "$close") == theirs.quote.get_data("NEW", *span, "$close")
    assert not ours.check_stock_suspended("NEW", *span)


@pytest.mark.usefixtures("opened")
def test_unsupported_quotes_are_read_by_qlib(caplog: pytest.LogCaptureFixture) -> None:
    """A setting of Qlib's that changes how values are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(C._config, "custom_ops", ["mine"])
        patch.setitem(C._config, "logging_level", logging.WARNING)
        patch.setattr(logging.getLogger("qlib.online operator"), "propagate", True)
        theirs, ours = exchanges()
    assert "read by Qlib's own engine" in caplog.text
    pd.testing.assert_frame_equal(
        theirs.quote_df.swaplevel().sort_index(), ours.quote_df[theirs.quote_df.columns]
    )


def spans_of_time() -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return each day, many days, a part of one, a moment, and days before the first."""
    days = pd.bdate_range("2020-01-01", periods=20)
    return [
        *((one, other - SECOND) for one, other in itertools.pairwise(days)),
        (days[2], days[9]),
        (days[0], days[19]),
        (days[5] + SECOND, days[6] - SECOND),
        (days[5], days[5]),
        (days[0] - pd.Timedelta(days=9), days[0] - SECOND),
    ]


def same(one: object, other: object) -> bool:
    """Return whether two quotes gave the same result."""
    if isinstance(one, SingleData) and isinstance(other, SingleData):
        return np.array_equal(one.data, other.data, equal_nan=True) and list(one.index) == list(other.index)
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other, equal_nan=True))  # type: ignore[arg-type]
