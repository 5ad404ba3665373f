"""The same days twice: Qlib's own backtest, and the ledger's plans and trading days."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qlib.backtest.position import Position
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.ledger.small_market import GOOD
from tests.unit.runner.plugins.backtest.trading import FIRST_DAY, Market, Stock, open_market, trade

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.chain import RECONCILED, Chain
from qlib_shadow_runner.ledger.night import Night, record_night
from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.quotes import Quotes, lacks_factors
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets
from qlib_shadow_runner.ledger.settle import settle_day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from tests.unit.runner.plugins.backtest import trading

NOT_STOCKS = ("cash", "now_account_value")


@dataclass(frozen=True)
class SplitStock(Stock):
    """A stock whose factor changes on some days: raw shares split or pay, adjusted prices go on."""

    splits: tuple[int, ...] = ()

    def fields(self) -> Mapping[str, np.ndarray]:
        """Return each field's values."""
        found = dict(super().fields())
        if "factor" in found:
            steps = np.ones(self.days)
            for number, day in enumerate(self.splits):
                steps[day:] *= (0.5, 1.02, 3.0)[number % 3]
            found["factor"] = found["factor"] * steps
        return found


def qlibs_accounts(market: Market, frame: pd.DataFrame, rules: trading.Rules) -> pd.DataFrame | str:
    """Return Qlib's account and cash of each day, or the name of its error.

    Two of its orders are of chance: that of a set of names changes with each process, and that of equal
    scores with the processor. Here both are by name.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Position, "get_stock_list", lambda self: sorted(set(self.position).difference(NOT_STOCKS))
        )
        unstable = pd.Series.sort_values
        patch.setattr(
            pd.Series, "sort_values", lambda self, **named: unstable(self, **{"kind": "stable", **named})
        )
        found = trade(market, frame, rules, ours=False)
    return found if isinstance(found, str) else found[0]["1day"][0][["account", "cash"]]


def rules_of(rules: trading.Rules, *, adjusted: bool) -> Rules:
    """Return the book's rules that are those of a backtest."""
    named = dict(rules.exchange)
    fill_at = named.pop("deal_price")
    if adjusted:
        named["trade_unit"] = None
    strategy = dict(rules.strategy)
    at_limit = strategy.pop("forbid_all_trade_at_limit", True)
    return Rules(
        targets=Targets(
            topk=strategy["topk"],
            n_drop=strategy["n_drop"],
            risk_degree=strategy.get("risk_degree", 0.95),
            hold_days=strategy.get("hold_thresh", 1),
        ),
        costs=Costs(**named, forbid_all_at_limit=at_limit),
        fill_at=fill_at,
    )


def scores_by_day(frame: pd.DataFrame) -> dict[date, dict[str, float]]:
    """Return the scores of each day."""
    by_day: dict[date, dict[str, float]] = {}
    levels = [frame.index.get_level_values(name) for name in ("datetime", "instrument")]
    for day, name, score in zip(*levels, frame["score"], strict=True):
        by_day.setdefault(day.date(), {})[name] = score
    return by_day


def ledgers_accounts(folder: Path, market: Market, frame: pd.DataFrame, rules: trading.Rules) -> pd.DataFrame:
    """Return the ledger's account and cash of each day."""
    days, quotes, by_day = weekdays(market.length), Quotes.of(Dataset(folder)), scores_by_day(frame)
    book = rules_of(rules, adjusted=lacks_factors(quotes, market.stocks, days[FIRST_DAY], days[-2]))
    account, rows = Account(rules.account), {}
    for before, day in zip(days[FIRST_DAY - 1 : -2], days[FIRST_DAY:-1], strict=True):
        plan = make_plan(account, by_day.get(before, {}), {}, book, quotes, day=before, book="us-shadow")
        settled = settle_day(account, plan.orders, book, quotes, before=before, day=day)
        account = settled.account
        rows[pd.Timestamp(day)] = {"account": account.value, "cash": account.cash}
    return pd.DataFrame.from_dict(rows, orient="index")


def both(market: Market, scores: trading.Scores, rules: trading.Rules) -> tuple[Any, pd.DataFrame]:
    """Return Qlib's accounts and the ledger's."""
    with tempfile.TemporaryDirectory() as name:
        folder = market.write(Path(name) / "market")
        open_market(folder, rules.region)
        frame = scores.frame(market)
        return qlibs_accounts(market, frame, rules), ledgers_accounts(folder, market, frame, rules)


def recorded_accounts(
    folder: Path, market: Market, frame: pd.DataFrame, rules: trading.Rules
) -> tuple[pd.DataFrame, Chain]:
    """Return account and cash of each day from the chain of a book that decides every night."""
    days, by_day, book = weekdays(market.length), scores_by_day(frame), folder.parent / "us-shadow"
    for day in days[FIRST_DAY - 1 : -1]:
        best = dict(sorted(by_day[day].items(), key=lambda one: (-one[1], one[0])))
        night = Night(
            folder=book,
            namespace="research",
            capital=rules.account,
            share=None,
            rules=rules_of(rules, adjusted=False),
            run={"runId": f"us-{day}", "signalsSha256": f"{day:%Y%m%d}".rjust(64, "0")},
            day=day,
            scores=best,
            facts=replace(GOOD, synthetic=True),
        )
        record_night(night, Dataset(folder))
    chain = Chain.read(book)
    rows = {
        pd.Timestamp(one.day): {
            "account": one.document["account"]["nav"],
            "cash": one.document["account"]["cash"],
        }
        for one in chain.entries
        if one.kind == RECONCILED
    }
    return pd.DataFrame.from_dict(rows, orient="index"), chain
