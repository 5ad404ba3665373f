"""The workflows: the same question each time, asked of Qlib's classes or of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.dataset.synthetic.trading_days import trading_days
from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.templates import PUBLISHED_ROWS

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

BENCHMARK: Final = "^GSPC"
UNIVERSE: Final = "demo"
PUBLISHED: Final = {
    "loss": "mse",
    "colsample_bytree": 0.8879,
    "learning_rate": 0.2,
    "subsample": 0.8789,
    "max_depth": 8,
    "num_leaves": 210,
}
"""What Qlib's own example sets: examples/benchmarks/LightGBM/workflow_config_lightgbm_Alpha158.yaml."""
PUBLISHED_PENALTIES: Final = {"lambda_l1": 205.6999, "lambda_l2": 580.9768}
PUBLISHED_THREADS: Final = 20
PUBLISHED_HELD: Final = 50


@dataclass(frozen=True)
class Way:
    """One way to run: its name, how many threads it has, whose classes, and whether it keeps its features."""

    name: str
    threads: int
    ours: bool = False
    keeps: bool = False
    kernels: int | None = 1
    """Processes that compute expressions; None lets Qlib decide, as its example does."""
    bins: int | None = None
    """Bins of a feature, where the model is to be another one; None leaves LightGBM its 255."""


@dataclass(frozen=True)
class Size:
    """How much there is to do."""

    symbols: int
    days: int
    start: date
    rounds: int
    topk: int

    def segments(self) -> dict[str, list[str]]:
        """Train on half, validate on a sixth, test on the rest."""
        days = [day.isoformat() for day in trading_days(self.start, self.days)]
        cuts = [self.days // 2, self.days * 2 // 3]
        return {
            "train": [days[0], days[cuts[0] - 1]],
            "valid": [days[cuts[0]], days[cuts[1] - 1]],
            "test": [days[cuts[1]], days[-1]],
        }

    def backtest(self) -> dict[str, str]:
        """End a day before the last: a decision needs a next day."""
        days = trading_days(self.start, self.days)
        return {
            "start_time": days[self.days * 2 // 3 + 1].isoformat(),
            "end_time": days[-2].isoformat(),
        }


def workflow(way: Way, size: Size, dataset: Path) -> dict[str, Any]:
    """Write what qrun reads."""
    segments = size.segments()
    return {
        "qlib_init": {
            "provider_uri": str(dataset),
            "region": "us",
            **({} if way.kernels is None else {"kernels": way.kernels}),
        },
        "task": {
            "model": _model(way, size),
            "dataset": {
                "class": "DatasetH",
                "module_path": "qlib.data.dataset",
                "kwargs": {"handler": _handler(way, segments), "segments": segments},
            },
            "record": _records(way, size),
        },
    }


def _model(way: Way, size: Size) -> dict[str, Any]:
    """Give the published parameters, the penalties in proportion to the rows as in the built-in template."""
    share = min(1.0, size.symbols * (size.days // 2) / PUBLISHED_ROWS)
    return {
        "class": "LGBModel",
        "module_path": class_paths.MODEL if way.ours else "qlib.contrib.model.gbdt",
        "kwargs": {
            **PUBLISHED,
            **{name: round(value * share, 4) for name, value in PUBLISHED_PENALTIES.items()},
            "num_boost_round": size.rounds,
            "early_stopping_rounds": size.rounds,
            # Without these, the same question has another answer with another number of threads.
            "deterministic": True,
            "force_col_wise": True,
            "seed": 7,
            "num_threads": way.threads,
            **({} if way.bins is None else {"max_bin": way.bins}),
        },
    }


def _handler(way: Way, segments: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "class": "Alpha158",
        "module_path": class_paths.HANDLERS if way.ours else "qlib.contrib.data.handler",
        "kwargs": {
            "start_time": segments["train"][0],
            "end_time": segments["test"][1],
            "fit_start_time": segments["train"][0],
            "fit_end_time": segments["train"][1],
            "instruments": UNIVERSE,
        },
    }


def _records(way: Way, size: Size) -> list[dict[str, Any]]:
    asked = {
        "SignalRecord": {"model": "<MODEL>", "dataset": "<DATASET>"},
        "SigAnaRecord": {"ana_long_short": False, "ann_scaler": 252},
        "PortAnaRecord": {"config": _portfolio(way, size)},
    }
    return [
        {"class": name, "module_path": _module_of(name, way), "kwargs": kwargs}
        for name, kwargs in asked.items()
    ]


def _module_of(record: str, way: Way) -> str:
    if not way.ours:
        return "qlib.workflow.record_temp"
    return class_paths.ANALYSIS if record == "SigAnaRecord" else class_paths.RECORDS


def _portfolio(way: Way, size: Size) -> dict[str, Any]:
    span = size.backtest()
    exchange = {
        "freq": "day",
        "codes": UNIVERSE,
        "deal_price": "close",
        "open_cost": 0.0005,
        "close_cost": 0.0015,
        "min_cost": 5,
        "limit_threshold": None,
        "trade_unit": 1,
    }
    if way.ours:
        module = class_paths.EXCHANGE
        exchange = {"exchange": {"class": "Exchange", "module_path": module, "kwargs": {**exchange, **span}}}
    return {
        "strategy": {
            "class": "TopkDropoutStrategy",
            "module_path": class_paths.STRATEGY if way.ours else "qlib.contrib.strategy",
            "kwargs": {"signal": "<PRED>", "topk": size.topk, "n_drop": max(1, size.topk // 10)},
        },
        "executor": {
            "class": "SimulatorExecutor",
            "module_path": class_paths.EXECUTOR if way.ours else "qlib.backtest.executor",
            "kwargs": {"time_per_step": "day", "generate_portfolio_metrics": True},
        },
        "backtest": {**span, "account": 100_000_000, "benchmark": BENCHMARK, "exchange_kwargs": exchange},
    }
