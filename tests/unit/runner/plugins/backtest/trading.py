"""Small markets to trade in, scores to trade by, and the same backtest with Qlib's classes and with ours."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import qlib
from qlib.backtest import backtest
from tests.unit.runner.conftest import weekdays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OURS = "qlib_shadow_runner.plugins.backtest"
QLIBS = {"strategy": "qlib.contrib.strategy", "executor": "qlib.backtest.executor"}
BENCHMARK = "^GSPC"
FIRST_DAY = 3
"""The first day of the backtest; the scores of the day before are used."""


@dataclass(frozen=True)
class Stock:
    """One instrument: its days, and its peculiarities."""

    first: int
    days: int
    seed: int
    suspended: float = 0.0
    """The share of days without any value."""
    holes: float = 0.0
    """The share of single values that are missing."""
    no_volume: float = 0.0
    no_price: float = 0.0
    """The share of days with an opening price of zero."""
    missing: tuple[str, ...] = ()
    """Fields without a file."""

    def fields(self) -> Mapping[str, np.ndarray]:
        """Return each field's values."""
        random = np.random.default_rng(self.seed)
        close = random.uniform(2, 80) * np.exp(np.cumsum(random.normal(0, 0.04, self.days)))
        found: dict[str, np.ndarray] = {
            "close": close,
            "open": close * (1 + random.normal(0, 0.01, self.days)),
            "vwap": close * (1 + random.normal(0, 0.005, self.days)),
            "volume": np.round(np.exp(random.normal(9, 2, self.days))),
            "factor": np.full(self.days, random.uniform(0.1, 3)),
            "change": np.concatenate([[np.nan], close[1:] / close[:-1] - 1]),
        }
        found["open"][random.random(self.days) < self.no_price] = 0
        found["volume"][random.random(self.days) < self.no_volume] = 0
        away = random.random(self.days) < self.suspended
        for name, values in found.items():
            values[away] = np.nan
            if name != "factor":
                values[random.random(self.days) < self.holes] = np.nan
        return {name: values for name, values in found.items() if name not in self.missing}


@dataclass(frozen=True)
class Market:
    """Some instruments in a calendar."""

    length: int
    stocks: Mapping[str, Stock]

    def write(self, folder: Path) -> Path:
        """Write it as a dataset of Qlib, with a benchmark."""
        calendar = weekdays(self.length)
        for name in ("calendars", "instruments", "features"):
            (folder / name).mkdir(parents=True)
        (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in calendar))
        stocks = {**self.stocks, BENCHMARK: Stock(0, self.length, 0)}
        lines = [
            f"{name}\t{calendar[stock.first]}\t{calendar[stock.first + stock.days - 1]}\n"
            for name, stock in stocks.items()
        ]
        (folder / "instruments" / "all.txt").write_text("".join(lines))
        for symbol, stock in stocks.items():
            (folder / "features" / symbol.lower()).mkdir()
            for name, values in stock.fields().items():
                path = folder / "features" / symbol.lower() / f"{name}.day.bin"
                path.write_bytes(np.concatenate([[stock.first], values]).astype("<f4").tobytes())
        return folder


@dataclass(frozen=True)
class Scores:
    """The scores that the strategy uses."""

    seed: int = 0
    decimals: int = 12
    """Few decimals make many ties."""
    missing: float = 0.0
    nan: float = 0.0
    no_days: tuple[int, ...] = ()
    by_instrument: bool = False

    def frame(self, market: Market, more: Sequence[str] = ()) -> pd.DataFrame:
        """Return a score for every instrument and day."""
        random = np.random.default_rng(self.seed)
        names, days = sorted([*market.stocks, *more]), pd.DatetimeIndex(weekdays(market.length))
        index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
        values = np.round(random.normal(size=len(index)), self.decimals)
        values[random.random(len(index)) < self.nan] = np.nan
        keep = (random.random(len(index)) >= self.missing) & ~index.get_level_values(0).isin(
            days[list(self.no_days)]
        )
        frame = pd.DataFrame({"score": values}, index=index)[keep]
        return frame.swaplevel().sort_index() if self.by_instrument else frame


@dataclass(frozen=True)
class Rules:
    """The arguments of strategy, exchange and executor."""

    region: str = "us"
    strategy: Mapping[str, Any] = field(default_factory=dict)
    exchange: Mapping[str, Any] = field(default_factory=dict)
    executor: Mapping[str, Any] = field(default_factory=dict)
    account: float = 1e6
    benchmark: Any = BENCHMARK


def open_market(folder: Path, region: str = "us") -> None:
    """Let Qlib open this dataset."""
    qlib.init(provider_uri=str(folder), region=region, kernels=1, logging_level=logging.CRITICAL)


def trade(market: Market, scores: pd.DataFrame, rules: Rules, *, ours: bool) -> Any:
    """Return the result of a backtest with Qlib's classes or with ours, or the type of the error."""
    calendar = weekdays(market.length)
    days = {"start_time": calendar[FIRST_DAY], "end_time": calendar[-2]}
    exchange = {"codes": list(market.stocks), "freq": "day", **rules.exchange}
    if ours:
        kwargs = {**exchange, **days}
        exchange = {"exchange": {"class": "Exchange", "module_path": f"{OURS}.exchange", "kwargs": kwargs}}
    random_state = np.random.get_state()  # noqa: NPY002 - what Qlib draws from
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Qlib averages over nothing
            return backtest(
                **days,
                strategy=_named(
                    "TopkDropoutStrategy", ours, "strategy", {"signal": scores, **rules.strategy}
                ),
                executor=_named(
                    "SimulatorExecutor",
                    ours,
                    "executor",
                    {"time_per_step": "day", "generate_portfolio_metrics": True, **rules.executor},
                ),
                account=rules.account,
                benchmark=rules.benchmark,
                exchange_kwargs=exchange,
            )
    except (ValueError, KeyError, ZeroDivisionError, TypeError, IndexError) as error:
        return type(error).__name__
    finally:
        np.random.set_state(random_state)  # noqa: NPY002


def _named(name: str, ours: bool, module: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:  # noqa: FBT001
    path = f"{OURS}.{module}" if ours else QLIBS[module]
    return {"class": name, "module_path": path, "kwargs": dict(kwargs)}
