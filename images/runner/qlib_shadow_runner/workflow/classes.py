"""Everything that a workflow may say, as data: the allow-list, and what each class may be given.

To allow a class, add it to its group with the arguments it takes; a test imports every class named here, the
page docs/templates.md is checked against these tables, and nothing else has to know. No path, no address, no
pickle and no function may be an argument: Qlib opens, calls and unpickles what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.spec.model import MODEL_PARAMETERS
from qlib_shadow_runner.workflow.shapes import (
    BOOLEAN,
    DAY,
    TEXT,
    WORD,
    Expression,
    Fields,
    Keys,
    Listed,
    Named,
    Plain,
    Shape,
    either,
    exactly,
    number,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NULL: Final = exactly(None)
NOTHING: Final = Keys()
DATASET_PLACEHOLDER: Final = exactly("<DATASET>")
MODEL_PLACEHOLDER: Final = exactly("<MODEL>")
FEATURES: Final = Fields(Expression(may_look_ahead=False))
LABELS: Final = Fields(Expression(may_look_ahead=True), most=1)
INSTRUMENTS: Final = Plain(
    "{{ instruments | tojson }}", lambda value: isinstance(value, str) or _is_filtered_market(value)
)

# --- models ---------------------------------------------------------------------------------------

BOOSTING: Final[Mapping[str, Shape]] = {
    **{
        name: whole(int(low), int(high)) if kind is int else number(low, high)
        for name, (kind, low, high) in MODEL_PARAMETERS.items()
        if name not in ("num_boost_round", "early_stopping_rounds")
    },
    "min_child_weight": number(0, 1e6),
    "feature_fraction_bynode": number(0.01, 1),
    "min_data_in_bin": whole(1, 1_000_000),
    "extra_trees": BOOLEAN,
    "path_smooth": number(0, 1e6),
    "linear_tree": BOOLEAN,
    "boosting": exactly("gbdt", "dart"),
    "verbosity": whole(-1, 2),
    "num_threads": whole(1, 1024),
    "seed": whole(0, 2**31 - 1),
    "deterministic": exactly(True),  # noqa: FBT003 - the value itself
    "force_col_wise": exactly(True),  # noqa: FBT003
}
"""LightGBM's parameters, without those that open files or sockets, such as machines."""
REPEATABLE: Final = frozenset({"seed", "deterministic", "force_col_wise"})
"""Without these, the same question has another answer on a machine with other cores."""
ROUNDS: Final = whole(1, 100_000)
BOOSTED: Final = Keys(
    {
        "loss": exactly("mse", "binary"),
        "num_boost_round": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        **BOOSTING,
    },
    REPEATABLE,
)
ENSEMBLE: Final = Keys(
    {
        "base_model": exactly("gbm"),
        "loss": exactly("mse"),
        "num_models": whole(1, 50),
        "enable_sr": BOOLEAN,
        # Qlib's selection of features draws from a generator that nobody seeds.
        "enable_fs": exactly(False),  # noqa: FBT003
        "alpha1": number(0, 100),
        "alpha2": number(0, 100),
        "bins_sr": whole(2, 100),
        "decay": number(0.01, 1),
        "sub_weights": Listed(number(0, 1000), 1, 50),
        "epochs": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        **BOOSTING,
    },
    REPEATABLE | {"enable_fs", "decay"},
)
MODELS: Final = Named(
    "models",
    {
        ("qlib_shadow_runner.model", "LGBModel"): BOOSTED,
        ("qlib.contrib.model.gbdt", "LGBModel"): BOOSTED,
        ("qlib.contrib.model.double_ensemble", "DEnsembleModel"): ENSEMBLE,
    },
)

# --- features and labels -------------------------------------------------------------------------

GROUPS: Final = Plain(
    '"feature" or "label", or a list of them',
    lambda value: all(one in ("feature", "label") for one in (value if isinstance(value, list) else [value])),
)
GROUPED: Final = Keys({"fields_group": GROUPS})
FITTED: Final = Keys({"fields_group": GROUPS, "fit_start_time": DAY, "fit_end_time": DAY})
COLUMNS: Final = Listed(WORD, 1, 1_000)
PROCESSOR_MODULE: Final = "qlib.data.dataset.processor"
PROCESSORS: Final = Named(
    "processors",
    {
        (PROCESSOR_MODULE, name): takes
        for name, takes in {
            "DropnaProcessor": GROUPED,
            "DropnaLabel": GROUPED,
            "DropCol": Keys({"col_list": COLUMNS}),
            "FilterCol": Keys({"fields_group": GROUPS, "col_list": COLUMNS}),
            "TanhProcess": NOTHING,
            "ProcessInf": NOTHING,
            "Fillna": Keys({"fields_group": GROUPS, "fill_value": number(-1e9, 1e9)}),
            "MinMaxNorm": FITTED,
            "ZScoreNorm": FITTED,
            "RobustZScoreNorm": Keys({**FITTED.fields, "clip_outlier": BOOLEAN}),
            "CSZScoreNorm": Keys({"fields_group": GROUPS, "method": exactly("zscore", "robust")}),
            "CSRankNorm": GROUPED,
            "CSZFillna": GROUPED,
        }.items()
    },
    PROCESSOR_MODULE,
)
PROCESSED: Final = Listed(PROCESSORS, 0, 50)
OWN_FIELDS: Final = Keys({"feature": FEATURES, "label": LABELS}, frozenset({"feature", "label"}))
LOADERS: Final = Named(
    "loaders",
    {
        ("qlib.data.dataset.loader", "QlibDataLoader"): Keys(
            {"config": OWN_FIELDS, "freq": exactly("day")}, frozenset({"config"})
        )
    },
    "qlib.data.dataset.loader",
)
TIMES: Final[Mapping[str, Shape]] = {"start_time": DAY, "end_time": DAY, "instruments": INSTRUMENTS}
FIT_TIMES: Final[Mapping[str, Shape]] = {"fit_start_time": DAY, "fit_end_time": DAY}
STEPS: Final[Mapping[str, Shape]] = {
    "infer_processors": PROCESSED,
    "learn_processors": PROCESSED,
    "process_type": exactly("append", "independent"),
}
READY_MADE: Final = Keys(
    {**TIMES, **FIT_TIMES, **STEPS, "label": LABELS, "freq": exactly("day")},
    frozenset({*TIMES, *FIT_TIMES}),
)
HANDLER_MODULE: Final = "qlib.contrib.data.handler"
HANDLERS: Final = Named(
    "handlers",
    {
        **{
            (HANDLER_MODULE, name): READY_MADE
            for name in ("Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap")
        },
        ("qlib_shadow_runner.training.handler", "Alpha158"): READY_MADE,
        ("qlib.data.dataset.handler", "DataHandlerLP"): Keys(
            {**TIMES, **STEPS, "shared_processors": PROCESSED, "data_loader": LOADERS},
            frozenset({*TIMES, "data_loader"}),
        ),
    },
)
SPAN: Final = Listed(DAY, 2, 2)
SEGMENTS: Final = Keys(dict.fromkeys(("train", "valid", "test"), SPAN), frozenset({"train", "valid", "test"}))
DATASETS: Final = Named(
    "datasets",
    {
        ("qlib.data.dataset", "DatasetH"): Keys(
            {"handler": HANDLERS, "segments": SEGMENTS}, frozenset({"handler", "segments"})
        )
    },
)

# --- records: predictions, their analysis, the backtest --------------------------------------------

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
        for module in ("qlib.contrib.strategy", "qlib.contrib.strategy.signal_strategy")
    },
)
EXECUTORS: Final = Named(
    "executors",
    {
        ("qlib.backtest.executor", "SimulatorExecutor"): Keys(
            {
                "time_per_step": exactly("day"),
                "generate_portfolio_metrics": exactly(True),  # noqa: FBT003
                "verbose": BOOLEAN,
                "trade_type": exactly("serial", "parallel"),
            },
            frozenset({"time_per_step", "generate_portfolio_metrics"}),
        )
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
    # Qlib's own defaults differ from release to release; what a trade costs is to be read here.
    frozenset({"deal_price", "open_cost", "close_cost", "min_cost"}),
)
BACKTEST: Final = Keys(
    {
        "start_time": DAY,
        "end_time": DAY,
        "account": number(1, 1e15),
        "benchmark": Plain("{{ benchmark | tojson }}", lambda value: isinstance(value, str | list)),
        "exchange_kwargs": EXCHANGE,
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
RECORD_MODULE: Final = "qlib.workflow.record_temp"
RECORDS: Final = Named(
    "records",
    {
        (module, name): takes
        # Qlib's, and ours, which go on where an earlier attempt ended.
        for module in (RECORD_MODULE, "qlib_shadow_runner.training.records")
        for name, takes in {
            "SignalRecord": Keys({"model": MODEL_PLACEHOLDER, "dataset": DATASET_PLACEHOLDER}),
            "SigAnaRecord": Keys(
                {"ana_long_short": BOOLEAN, "ann_scaler": number(1, 366), "label_col": exactly(0)}
            ),
            "PortAnaRecord": PORTFOLIO,
        }.items()
    },
    RECORD_MODULE,
)

# --- the whole -------------------------------------------------------------------------------------

WORKFLOW: Final = Keys(
    {
        "qlib_init": Keys(
            # One process: the same order of work, and of sums, on every machine, and nothing in /dev/shm.
            {"provider_uri": TEXT, "region": exactly("us", "cn", "tw"), "kernels": exactly(1)},
            frozenset({"provider_uri", "region", "kernels"}),
        ),
        "task": Keys(
            {"model": MODELS, "dataset": DATASETS, "record": Listed(RECORDS, 3, 3)},
            frozenset({"model", "dataset", "record"}),
        ),
    },
    frozenset({"qlib_init", "task"}),
)
GROUPS_OF_CLASSES: Final = (
    MODELS,
    DATASETS,
    HANDLERS,
    LOADERS,
    PROCESSORS,
    RECORDS,
    STRATEGIES,
    EXECUTORS,
)
"""Every place where a class may be named."""
CLASSES: Final = frozenset(named for group in GROUPS_OF_CLASSES for named in group.classes)
"""Every class that a workflow may name; none of them can reach a broker."""


def _is_filtered_market(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"market", "filter_pipe"}
