"""The records: analysis of the predictions, and the backtest with its strategy, exchange and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.shapes import (
    BOOLEAN,
    DAY,
    Keys,
    Named,
    Plain,
    either,
    exactly,
    number,
    whole,
)

NULL: Final = exactly(None)

DATASET_PLACEHOLDER: Final = exactly("<DATASET>")
MODEL_PLACEHOLDER: Final = exactly("<MODEL>")
STRATEGY: Final = Keys(
    {
        "signal": exactly("<PRED>"),
        "topk": whole(1, 10_000),
        "n_drop": whole(0, 10_000),
        "method_sell": exactly("bottom"),
        "method_buy": exactly("top"),
        "hold_thresh": whole(1, 10_000),
        "only_tradable": BOOLEAN,
        "forbid_all_trade_at_limit": BOOLEAN,
        "risk_degree": number(0.01, 1),
    },
    frozenset({"signal", "topk", "n_drop"}),
)
STRATEGIES: Final = Named(
    "strategies",
    {
        (module, "TopkDropoutStrategy"): STRATEGY
        for module in (
            "qlib.contrib.strategy",
            "qlib.contrib.strategy.signal_strategy",
            class_paths.STRATEGY,
        )
    },
)
EXECUTORS: Final = Named(
    "executors",
    {
        (module, "SimulatorExecutor"): Keys(
            {
                "time_per_step": exactly("day"),
                "generate_portfolio_metrics": exactly(True),  # noqa: FBT003
                "verbose": BOOLEAN,
                "trade_type": exactly("serial", "parallel"),
            },
            frozenset({"time_per_step", "generate_portfolio_metrics"}),
        )
        for module in ("qlib.backtest.executor", class_paths.EXECUTOR)
    },
)
SHARE: Final = number(0, 0.5)
EXCHANGE: Final = Keys(
    {
        "freq": exactly("day"),
        "codes": Plain("{{ codes | tojson }}", lambda value: isinstance(value, str | list)),
        "deal_price": exactly("close", "open", "vwap"),
        "open_cost": SHARE,
        "close_cost": SHARE,
        "min_cost": number(0, 1e6),
        "impact_cost": SHARE,
        "limit_threshold": Plain(
            "null, or a number with a point from 0.001 to 1.0",
            lambda value: value is None or (isinstance(value, float) and 0.001 <= value <= 1),  # noqa: PLR2004
        ),
        "trade_unit": either(whole(1, 1_000_000), NULL),
    },
    # Qlib's own defaults differ between releases, so a workflow must state what a trade costs.
    frozenset({"deal_price", "open_cost", "close_cost", "min_cost"}),
)
EXCHANGES: Final = Named(
    "exchanges",
    {
        (class_paths.EXCHANGE, "Exchange"): Keys(
            # Qlib tells its own exchange the backtest's days, and no other.
            {**EXCHANGE.fields, "start_time": DAY, "end_time": DAY},
            EXCHANGE.needs | {"start_time", "end_time"},
        )
    },
)


@dataclass(frozen=True)
class OwnOrNamed:
    """What Qlib's own exchange is given, or an exchange by class path."""

    own: Keys
    named: Keys

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"{self.own.words}; or exchange alone, {EXCHANGES.words}"

    def check(self, value: object, where: str) -> None:
        """Refuse what fits neither."""
        is_named = isinstance(value, dict) and "exchange" in value
        (self.named if is_named else self.own).check(value, where)


BACKTEST: Final = Keys(
    {
        "start_time": DAY,
        "end_time": DAY,
        "account": number(1, 1e15),
        "benchmark": Plain("{{ benchmark | tojson }}", lambda value: isinstance(value, str | list)),
        "exchange_kwargs": OwnOrNamed(EXCHANGE, Keys({"exchange": EXCHANGES}, frozenset({"exchange"}))),
    },
    frozenset({"start_time", "end_time", "account", "benchmark", "exchange_kwargs"}),
)
PORTFOLIO: Final = Keys(
    {
        "config": Keys(
            {"strategy": STRATEGIES, "executor": EXECUTORS, "backtest": BACKTEST},
            frozenset({"strategy", "backtest"}),
        )
    },
    frozenset({"config"}),
)
ANALYSIS: Final = Keys({"ana_long_short": BOOLEAN, "ann_scaler": number(1, 366), "label_col": exactly(0)})
RECORDS: Final = Named(
    "records",
    {
        # Ours alone: with Qlib's, a busy machine may read metrics that it has only begun to write.
        (class_paths.RECORDS, name): takes
        for name, takes in {
            "SignalRecord": Keys({"model": MODEL_PLACEHOLDER, "dataset": DATASET_PLACEHOLDER}),
            "SigAnaRecord": ANALYSIS,
            "PortAnaRecord": PORTFOLIO,
        }.items()
    }
    | {(class_paths.ANALYSIS, "SigAnaRecord"): ANALYSIS},
    "qlib.workflow.record_temp",
)
