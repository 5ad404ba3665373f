"""A backtest with our classes gives Qlib's reports, positions and indicators, bit for bit."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.plugins.backtest.differences import differences
from tests.unit.runner.plugins.backtest.trading import Market, Rules, Scores, Stock, open_market, trade
from tests.unit.runner.plugins.random_examples import rounds

LENGTH = 26
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG")
SHARES = st.sampled_from([0.0, 0.0, 0.1, 0.4])
COSTS = st.sampled_from([0.0, 0.0005, 0.0015, 0.05])


@st.composite
def stocks(draw: st.DrawFn) -> Stock:
    """Draw an instrument that is listed and delisted on any day."""
    first = draw(st.sampled_from([0, 0, 0, 2, 9]))
    days = draw(st.sampled_from([LENGTH, LENGTH, LENGTH, 12, 1]))
    return Stock(
        first,
        min(days, LENGTH - first),
        draw(st.integers(0, 99)),
        suspended=draw(SHARES),
        holes=draw(st.sampled_from([0.0, 0.0, 0.1])),
        no_volume=draw(SHARES),
        no_price=draw(st.sampled_from([0.0, 0.0, 0.2])),
        missing=draw(st.sampled_from([(), (), (), ("factor",), ("vwap", "change"), ("volume",)])),
    )


MARKETS = st.builds(Market, st.just(LENGTH), st.fixed_dictionaries(dict.fromkeys(SYMBOLS, stocks())))
SCORES = st.builds(
    Scores,
    seed=st.integers(0, 99),
    decimals=st.sampled_from([0, 1, 12]),
    missing=SHARES,
    nan=SHARES,
    no_days=st.sampled_from([(), (2, 7, 8)]),
    by_instrument=st.booleans(),
)
RULES = st.builds(
    Rules,
    region=st.sampled_from(["us", "cn"]),
    strategy=st.fixed_dictionaries(
        {
            "topk": st.integers(1, 5),
            "n_drop": st.integers(0, 3),
            "hold_thresh": st.integers(1, 3),
            "only_tradable": st.booleans(),
            "forbid_all_trade_at_limit": st.booleans(),
            "risk_degree": st.sampled_from([0.95, 0.3, 1.0]),
        }
    ),
    exchange=st.fixed_dictionaries(
        {
            "deal_price": st.sampled_from(["close", "open", "vwap", ["$open", "$close"]]),
            "limit_threshold": st.sampled_from([None, 0.03, 0.099]),
            "trade_unit": st.sampled_from([None, 1, 100]),
            "open_cost": COSTS,
            "close_cost": COSTS,
            "min_cost": st.sampled_from([0.0, 5.0, 500.0]),
            "impact_cost": st.sampled_from([0.0, 0.1]),
            "volume_threshold": st.sampled_from(
                [None, ("cum", "$volume*0.0001"), {"all": ("current", "$volume*0.01")}]
            ),
        }
    ),
    executor=st.fixed_dictionaries({"trade_type": st.sampled_from(["serial", "parallel"])}),
    account=st.sampled_from([1e8, 2e4, 1_000_000]),
    benchmark=st.sampled_from(["^GSPC", ["AAA", "BBB"], None]),
)
QUIET = Market(LENGTH, {symbol: Stock(0, LENGTH, number) for number, symbol in enumerate(SYMBOLS)})
USUAL = Rules(
    strategy={"topk": 3, "n_drop": 1},
    exchange={"deal_price": "close", "open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5},
)


def both(market: Market, scores: Scores, rules: Rules, more: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """Return the results of Qlib's classes and of ours."""
    with tempfile.TemporaryDirectory() as folder:
        open_market(market.write(Path(folder) / "market"), rules.region)
        frame = scores.frame(market, more)
        theirs, ours = (trade(market, frame, rules, ours=choice) for choice in (False, True))
    return theirs, ours


@example(QUIET, Scores(), USUAL)
@given(MARKETS, SCORES, RULES)
@rounds("QLIB_SHADOW_CHAOS_BACKTESTS", 6)
def test_random_markets_and_rules_equal_qlib(market: Market, scores: Scores, rules: Rules) -> None:
    """Suspended, delisted, limited, without volume, price or factor: the same result, or the same error."""
    theirs, ours = both(market, scores, rules)
    assert list(differences(theirs, ours)) == []


def test_quiet_market_has_trades() -> None:
    """Otherwise the other tests would compare nothing with nothing."""
    _, ours = both(QUIET, Scores(), USUAL)
    report, positions = ours[0]["1day"]
    assert len(report) == LENGTH - 4
    assert (report["turnover"] > 0).sum() > LENGTH / 2
    assert report["bench"].abs().sum() > 0
    assert len(list(positions.values())[-1].get_stock_list()) == 3


def test_days_without_benchmark_equal_qlib() -> None:
    """In a series given by the caller; Qlib's own have no such days."""
    changes = np.random.default_rng(3).normal(0, 0.01, LENGTH)
    changes[[6, 9]] = np.nan
    rules = replace(USUAL, benchmark=pd.Series(changes, pd.DatetimeIndex(weekdays(LENGTH))))
    theirs, ours = both(QUIET, Scores(), rules)
    assert list(differences(theirs, ours)) == []


@pytest.mark.parametrize("method", ["method_buy", "method_sell"])
def test_random_choice_is_left_to_qlib(method: str) -> None:
    """It draws from a global random generator."""
    np.random.seed(5)  # noqa: NPY002
    rules = Rules(strategy={**USUAL.strategy, method: "random"}, exchange=USUAL.exchange)
    theirs, ours = both(QUIET, Scores(), rules)
    assert list(differences(theirs, ours)) == []


def test_instrument_without_quotes_is_never_held() -> None:
    """A symbol that the exchange does not know, at the top of each day."""
    theirs, ours = both(QUIET, Scores(), USUAL, more=("ZZZ",))
    assert list(differences(theirs, ours)) == []
    assert not any("ZZZ" in day.position for day in ours[0]["1day"][1].values())


def test_limit_may_be_an_expression() -> None:
    """The fields of the quotes may be any expression of Qlib."""
    limits = ("$close > 1.02*Ref($close, 1)", "$close < 0.98*Ref($close, 1)")
    rules = Rules(strategy=USUAL.strategy, exchange={**USUAL.exchange, "limit_threshold": limits})
    theirs, ours = both(QUIET, Scores(), rules)
    assert list(differences(theirs, ours)) == []
    usual, _ = both(QUIET, Scores(), USUAL)
    assert list(differences(usual, ours)) != []


def test_order_of_zero_amount_equals_qlib() -> None:
    """With money for less than one lot, the requested amount is zero, and its dealt share is NaN."""
    rules = replace(USUAL, account=6e4, exchange={**USUAL.exchange, "trade_unit": 1000})
    theirs, ours = both(QUIET, Scores(), rules)
    assert list(differences(theirs, ours)) == []
    of_orders = ours[1]["1day"][1].order_indicator_his.values()
    shares = [np.isnan(day.data["ffr"].data) for day in of_orders]
    assert any(day.any() and not day.all() for day in shares)


def test_results_unpickle_without_this_package() -> None:
    """Unpickling needs Qlib alone."""
    _, ours = both(QUIET, Scores(), USUAL)
    assert b"qlib_shadow_runner" not in pickle.dumps(ours)
