"""With the same signals, rules and fills, the paper account is that of Qlib's backtest on every day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.unit.runner.ledger.qlibs_account import (
    SplitStock,
    both,
    qlibs_accounts,
    recorded_accounts,
    rules_of,
    scores_by_day,
)
from tests.unit.runner.plugins.backtest.trading import Market, Rules, Scores, open_market
from tests.unit.runner.plugins.random_examples import rounds

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.tracking import PARTS, Backtest, track

if TYPE_CHECKING:
    from pathlib import Path

LENGTH = 30
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
SHARES = st.sampled_from([0.0, 0.0, 0.1, 0.4])
COSTS = st.sampled_from([0.0005, 0.0, 0.0015, 0.05])


@st.composite
def stocks(draw: st.DrawFn) -> SplitStock:
    """Draw an instrument that is listed, delisted, suspended and split on any day."""
    first = draw(st.sampled_from([0, 0, 0, 2, 9]))
    days = min(draw(st.sampled_from([LENGTH, LENGTH, LENGTH, 12, 1])), LENGTH - first)
    return SplitStock(
        first,
        days,
        draw(st.integers(0, 99)),
        suspended=draw(SHARES),
        holes=draw(st.sampled_from([0.0, 0.0, 0.1])),
        no_volume=draw(SHARES),
        no_price=draw(st.sampled_from([0.0, 0.0, 0.2])),
        missing=draw(st.sampled_from([(), (), (), (), (), ("factor",), ("open", "change"), ("volume",)])),
        splits=tuple(draw(st.lists(st.integers(0, LENGTH), max_size=3))),
    )


MARKETS = st.builds(Market, st.just(LENGTH), st.fixed_dictionaries(dict.fromkeys(SYMBOLS, stocks())))
SCORES = st.builds(
    Scores,
    seed=st.integers(0, 99),
    decimals=st.sampled_from([0, 1, 12]),
    missing=SHARES,
    nan=SHARES,
    no_days=st.sampled_from([(), (2, 7, 8)]),
)
RULES = st.builds(
    Rules,
    strategy=st.fixed_dictionaries(
        {
            "topk": st.integers(1, 6),
            "n_drop": st.integers(0, 3),
            "hold_thresh": st.integers(1, 3),
            "forbid_all_trade_at_limit": st.booleans(),
            "risk_degree": st.sampled_from([0.95, 0.3, 1.0]),
        }
    ),
    exchange=st.fixed_dictionaries(
        {
            "deal_price": st.sampled_from(["close", "close", "open"]),
            "limit_threshold": st.sampled_from([None, 0.03, 0.099]),
            "trade_unit": st.sampled_from([1, 100, None]),
            "open_cost": COSTS,
            "close_cost": COSTS,
            "min_cost": st.sampled_from([5.0, 0.0, 500.0]),
            "impact_cost": st.sampled_from([0.0, 0.1]),
        }
    ),
    account=st.sampled_from([1e8, 1_000_000, 2e4, 900.0]),
)
QUIET = Market(
    LENGTH,
    {name: SplitStock(0, LENGTH, number, splits=(5 + number, 20)) for number, name in enumerate(SYMBOLS)},
)
USUAL = Rules(
    strategy={"topk": 3, "n_drop": 1},
    exchange={
        "deal_price": "close",
        "trade_unit": 1,
        "limit_threshold": None,
        "open_cost": 0.0005,
        "close_cost": 0.0015,
        "min_cost": 5,
    },
)


@example(QUIET, Scores(), USUAL)
@given(MARKETS, SCORES, RULES)
@rounds("QLIB_SHADOW_CHAOS_LEDGER_MARKETS", 8)
def test_random_markets_and_rules_equal_qlib(market: Market, scores: Scores, rules: Rules) -> None:
    """Splits, gaps, delistings, limits, costs, lots, little money, equal scores: the same account."""
    theirs, ours = both(market, scores, rules)
    # Qlib divides by a cost of zero where neither a rate nor a volume is given.
    assume(not isinstance(theirs, str) or theirs != "ZeroDivisionError")
    assert list(theirs.index) == list(ours.index)
    np.testing.assert_allclose(ours["account"], theirs["account"], rtol=1e-9, atol=0)
    np.testing.assert_allclose(ours["cash"], theirs["cash"], rtol=0, atol=1e-9 * theirs["account"].max())


def test_the_compared_markets_have_trades() -> None:
    """Otherwise nothing would be compared with nothing."""
    theirs, ours = both(QUIET, Scores(), USUAL)
    assert (ours["cash"].diff().abs() > 1).sum() > LENGTH / 2
    assert theirs["account"].iloc[-1] != pytest.approx(1e6, rel=1e-3)


def test_recorded_nights_equal_qlib_and_have_no_difference_to_it(tmp_path: Path) -> None:
    """The chain of every night has Qlib's account, so that every part of the difference is nothing."""
    folder = QUIET.write(tmp_path / "market")
    open_market(folder)
    frame = Scores().frame(QUIET)
    theirs = qlibs_accounts(QUIET, frame, USUAL)
    assert not isinstance(theirs, str)
    ours, chain = recorded_accounts(folder, QUIET, frame, USUAL)
    np.testing.assert_allclose(ours["account"], theirs["account"], rtol=1e-9, atol=0)
    book = rules_of(USUAL, adjusted=False)
    tonight = Backtest(
        tuple(day.date() for day in theirs.index),
        tuple(theirs["account"]),
        scores_by_day(frame),
        book.costs,
        book.targets,
    )
    found = track(chain.entries, chain.rules[0], Quotes.of(Dataset(folder)), tonight)
    assert found is not None
    assert len(found.by_day) == len(theirs) - 1
    assert max(abs(part) for day in found.by_day for part in (day[name] for name in PARTS)) < 1e-9
