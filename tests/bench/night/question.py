"""The prices of some evenings, the run that is asked each night, and the same question for Qlib's classes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INBOX: Final = "inbox/prices"
BENCHMARK: Final = "^GSPC"
EVENINGS: Final = 20
RECORDS: Final = "qlib.workflow.record_temp"


@dataclass(frozen=True)
class Prices:
    """The market of the first evening and of those after it."""

    symbols: int
    days: int

    def write(self, folder: Path, evening: int) -> None:
        """Write a file for each symbol, as an exporter does that writes all of its days each night."""
        random = np.random.default_rng(7)
        days = pd.bdate_range("2010-01-04", periods=self.days + EVENINGS)
        folder.mkdir(parents=True, exist_ok=True)
        for symbol in [*(f"SYM{number:04d}" for number in range(self.symbols)), BENCHMARK]:
            close = 50 * np.exp(np.cumsum(random.normal(0.0003, 0.015, len(days))))
            bars = {
                "date": days,
                "open": close * (1 + random.normal(0, 0.002, len(days))),
                "high": close * 1.02,
                "low": close * 0.98,
                "close": close,
                "volume": random.integers(1_000, 10_000_000, len(days)),
            }
            frame = pd.DataFrame(bars).iloc[: self.days + evening]
            frame.to_parquet(folder / f"{symbol}.parquet", index=False)

    def spec(self, boosting: int) -> dict[str, Any]:
        """Return the run of each night: three years of test and one of valid, or shares of fewer days."""
        test, valid = min(756, self.days // 5), min(252, self.days // 10)
        train = self.days - test - valid - 80
        return {
            "dataset": {"source": {"prices": {"path": INBOX}}},
            "workflow": {
                "benchmark": BENCHMARK,
                "window": {"train": f"{train}d", "valid": f"{valid}d", "test": f"{test}d"},
                "model": {"num_boost_round": boosting, "early_stopping_rounds": boosting},
                "retrain": {"everyDays": EVENINGS},
            },
        }


def of_qlib(document: Mapping[str, Any], *, trains: bool) -> dict[str, Any]:
    """Return a run's workflow with Qlib's classes; one that trains begins where its window begins."""
    plain = copy.deepcopy(dict(document))
    plain.pop("kept_model", None)
    task = plain["task"]
    task["model"]["module_path"] = "qlib.contrib.model.gbdt"
    data = task["dataset"]["kwargs"]
    data["handler"]["module_path"] = "qlib.contrib.data.handler"
    if trains:
        data["handler"]["kwargs"]["start_time"] = data["segments"]["train"][0]
    for record in task["record"]:
        record["module_path"] = RECORDS
    portfolio = task["record"][-1]["kwargs"]["config"]
    portfolio["strategy"]["module_path"] = "qlib.contrib.strategy"
    portfolio.pop("executor")
    exchange = portfolio["backtest"]["exchange_kwargs"]["exchange"]["kwargs"]
    exchange = {name: value for name, value in exchange.items() if name not in {"start_time", "end_time"}}
    portfolio["backtest"]["exchange_kwargs"] = exchange
    return plain
