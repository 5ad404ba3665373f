"""spec.workflow: what is researched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import WORKFLOW_FILE, Reason
from qlib_shadow_runner.contract.fields import (
    Given,
    Object,
    Reader,
    Record,
    Rule,
    between,
    defaulted,
    excludes,
    optional,
    part,
    required,
)
from qlib_shadow_runner.contract.kinds import NAME, Choice, Number, Span, Text, Whole, matches
from qlib_shadow_runner.contract.periods import Period, PeriodKind
from qlib_shadow_runner.contract.spec.run_ids import RUN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


SYMBOL: Final = Text(
    40, (matches(r"[A-Za-z0-9^._=-]+", "must be a name of letters, digits and ^ . _ = -, or auto"),)
)


AUTO: Final = "auto"
FROM: Final = "from"
"""The key of spec.workflow.model that names a run."""


class Engine(StrEnum):
    """The code that computes features; both engines compute the same bits."""

    FAST = "fast"
    QLIB = "qlib"


class SignalsFormat(StrEnum):
    """The file format of the ranked signals."""

    PARQUET = "parquet"
    CSV = "csv"


class Live(StrEnum):
    """Which model makes the signals of the days whose outcome is not known yet."""

    REFIT = "Refit"
    EVALUATED = "Evaluated"


DEFAULT_ENGINE: Final = Engine.FAST


@dataclass(frozen=True)
class ConfigMapRef(Record):
    """The user's own template in a ConfigMap."""

    name: str = required(NAME, "Name of the ConfigMap.")
    key: str = defaulted(
        Text(253, (matches("[-._a-zA-Z0-9]+", 'must be letters, digits, "-", "_" and "."'),)),
        "Which of its entries.",
        WORKFLOW_FILE,
    )

    def __str__(self) -> str:
        return f'ConfigMap "{self.name}", key "{self.key}"'


APART: Final = "(dyn({0}) == null ? dyn({1}) != null : dyn({1}) == null || {0} < {1})"
"""Whether one day lies before another in CEL, where at most one is null; without dyn, a day is never null."""


@dataclass(frozen=True)
class Segments(Record):
    """The three periods of trading days, each with both ends included.

    An open end lies at the end of the data, or as many days from the next segment as the label looks ahead.
    """

    train: tuple[Any, Any] = required(Span(), "What the model learns from.")
    valid: tuple[Any, Any] = required(Span(), "What decides when learning stops.")
    test: tuple[Any, Any] = required(Span(), "What is predicted and backtested.")

    LACK = "give all of train, valid and test as [first, last], or leave segments out"
    RULES = (
        between(
            *("train", "valid", "test"),
            must="must follow one another: train ends before valid begins, and valid ends before test "
            "begins, and of two neighbouring ends at most one is open; correct the dates, or leave segments "
            "out",
            holds=lambda train, valid, test: _apart(train[1], valid[0]) and _apart(valid[1], test[0]),
            cel=f"{APART.format('self.train[1]', 'self.valid[0]')} && "
            f"{APART.format('self.valid[1]', 'self.test[0]')}",
            reason=Reason.SEGMENTS_INVALID,
        ),
    )


def _apart(end: date | None, begin: date | None) -> bool:
    """Say whether a segment ends before the next one begins, where one of the two may be open."""
    if end is None or begin is None:
        return end is not begin
    return end < begin


@dataclass(frozen=True)
class Window(Record):
    """The segments as periods that are counted back from the last day on which the universe trades."""

    train: Period | None = optional(
        PeriodKind(), "What the model learns from. Default: everything before valid."
    )
    valid: Period = defaulted(PeriodKind(), "What decides when learning stops.", Period(1, "y"))
    test: Period = defaulted(PeriodKind(), "What is predicted and backtested.", Period(3, "y"))
    back: Period | None = optional(
        PeriodKind(), "How long before the last day test ends. Default: it ends on the last day."
    )


class OrIf(StrEnum):
    """What lets a run train although a model is young enough to be kept."""

    DECAYED = "decayed"


@dataclass(frozen=True)
class Retrain(Record):
    """When a run trains, and when it keeps the model of an earlier one."""

    every_days: int = required(
        Whole(1, 2000),
        "A run keeps the newest model of the same recipe, namespace and series while fewer trading days than "
        "these have come since the data ended with which it was trained.",
    )
    or_if: OrIf | None = optional(
        Choice(OrIf),
        "What lets a run train before that: decayed, the signals that the model has given since are too much "
        "worse than its evaluation promised. Default: nothing.",
        key="orIf",
    )


@dataclass(frozen=True)
class ModelParameters(Record):
    """The LightGBM parameters that a run can set; the runner sets threads, seeds and devices."""

    VERBATIM = True
    learning_rate: float | None = optional(Number(1e-5, 1), "Step of each round.")
    num_leaves: int | None = optional(Whole(2, 4096), "Leaves of each tree.")
    max_depth: int | None = optional(Whole(-1, 64), "Depth of each tree; -1 is no limit.")
    lambda_l1: float | None = optional(Number(0, 1e6), "L1 regularization.")
    lambda_l2: float | None = optional(Number(0, 1e6), "L2 regularization.")
    colsample_bytree: float | None = optional(Number(0.01, 1), "Share of features of each tree.")
    subsample: float | None = optional(Number(0.01, 1), "Share of rows of each tree.")
    subsample_freq: int | None = optional(Whole(0, 1000), "Rounds between two samplings of rows.")
    min_child_samples: int | None = optional(Whole(1, 10_000_000), "Least rows of a leaf.")
    min_split_gain: float | None = optional(Number(0, 1e6), "Least gain of a split.")
    max_bin: int | None = optional(Whole(15, 4095), "Most bins of a feature.")
    num_boost_round: int | None = optional(Whole(1, 100_000), "Most rounds.")
    early_stopping_rounds: int | None = optional(
        Whole(1, 100_000), "Rounds without progress after which learning stops."
    )


@dataclass(frozen=True)
class ModelFields(ModelParameters):
    """The parameters of the model, and the run whose model is used in place of a training."""

    VERBATIM = True
    from_run: str | None = optional(
        RUN_ID,
        "A finished run on the same volume and in the same namespace: its model predicts, and nothing is "
        "trained. The run is refused where its recipe, its features or its data are others than the model's. "
        "Default: none.",
        key=FROM,
    )


NDROP_WITHIN_TOPK: Final = between(
    *("topk", "nDrop"),
    must="must have an nDrop of at most topk; lower it",
    holds=lambda topk, n_drop: n_drop <= topk,
    cel="self.nDrop <= self.topk",
)


@dataclass(frozen=True)
class Strategy(Record):
    """The TopkDropout strategy: hold `topk` instruments and replace at most `n_drop` a day."""

    topk: int | None = optional(Whole(1, 10_000), "How many instruments are held.")
    n_drop: int | None = optional(Whole(0, 10_000), "How many are replaced a day, at most.")

    RULES = (NDROP_WITHIN_TOPK,)


@dataclass(frozen=True)
class ExchangeCosts(Record):
    """The costs of a simulated trade; the defaults are those of Qlib's examples."""

    open_cost: float = defaulted(Number(0, 0.5), "Cost of buying, as a share.", 0.0005)
    close_cost: float = defaulted(Number(0, 0.5), "Cost of selling, as a share.", 0.0015)
    min_cost: float = defaulted(Number(0, 1e6), "Least cost of a trade.", 5.0)
    impact_cost: float = defaulted(
        Number(0, 0.5),
        "Slippage: added to the cost of an order, times the square of its share of what was traded that day.",
        0.0,
    )
    account: float = defaulted(Number(1, 1e15), "Money at the start.", 100_000_000.0)
    deal_price: str = defaulted(Choice(("close", "open", "vwap")), "Price of a trade.", "close")


@dataclass(frozen=True)
class WorkflowSpec(Record):
    """The workflow that a run executes."""

    template: str = defaulted(Text(63), "Name of a built-in workflow.", "lightgbm-alpha158")
    config_map: ConfigMapRef | None = optional(
        Object(ConfigMapRef),
        "A workflow template of your own, from a ConfigMap in the run's namespace.",
        reader=Reader.BOTH,
        key="configMapRef",
    )
    market: str = defaulted(
        SYMBOL,
        "Which instruments: a file of the dataset's instruments folder, without .txt. Default: auto, "
        "discovered from the dataset.",
        AUTO,
    )
    benchmark: str = defaulted(
        SYMBOL, "What returns are compared with. Default: auto, discovered from the dataset.", AUTO
    )
    segments: Segments | None = optional(
        Object(Segments),
        "Three spans of days as [first, last], in order and not overlapping; null leaves an end open. "
        "Default: a window.",
    )
    window: Window | None = optional(
        Object(Window),
        "The segments as periods counted back from the last day: trading days (250d), months (6m), years "
        "(8y), with as many days between them as the label looks ahead. Default: the last three years are "
        "test, the year before them is valid, and everything before is train; data of fewer than eight "
        "years is divided into 60%, 15% and the rest.",
    )
    model: Mapping[str, Any] = defaulted(
        Given(ModelFields),
        "LightGBM's parameters, or the run whose model is used. Threads, seeds and devices are not the "
        "run's to set. Defaults are the template's.",
        {},
    )
    strategy: Strategy = part(
        Strategy,
        "The portfolio: hold the topk best, replace at most nDrop a day. Defaults follow the market's size.",
    )
    exchange: ExchangeCosts = part(ExchangeCosts, "What a simulated trade costs. Nothing is ever traded.")
    retrain: Retrain | None = optional(
        Object(Retrain), "Keep a model for some nights, and only predict with it. Default: every run trains."
    )
    live: Live = defaulted(
        Choice(Live),
        "Which model makes the signals of the days whose outcome is not known yet: Refit trains once more, "
        "through the last day whose label is known, with as many rounds as the evaluation found best; "
        "Evaluated takes the model that was evaluated, which has learnt from train alone. Metrics and "
        "backtest are always the evaluated model's.",
        Live.REFIT,
    )
    engine: Engine | None = optional(
        Choice(Engine),
        "What computes features and backtest: fast, on arrays over all instruments, or Qlib's own engine. "
        "The figures are the same to the last bit. Default: fast; a template of one's own decides where it "
        "is not set.",
    )
    seed: int = defaulted(Whole(0, 2**31 - 1), "Seed of the model.", 7)
    signals_format: SignalsFormat = defaulted(
        Choice(SignalsFormat), "How the ranked signals are written.", SignalsFormat.PARQUET
    )

    RULES = (
        excludes(
            *("template", "configMapRef"),
            must="takes template (a built-in one) or configMapRef (one of yours), not both; remove one",
        ),
        excludes(
            *("segments", "window"),
            must="takes segments (fixed days) or window (counted back from the last day), not both; remove "
            "one",
        ),
        Rule(
            "takes retrain (a model is found) or model.from (a run is named), not both; remove one",
            lambda values: "retrain" not in values or FROM not in (values.get("model") or {}),
            "!has(self.retrain) || !has(self.model) || !has(self.model.from)",
        ),
    )

    @property
    def model_from(self) -> str | None:
        """Return the run whose model is used, or None."""
        return self.model.get(FROM)

    @property
    def model_parameters(self) -> dict[str, float]:
        """Return the parameters of the model that are given."""
        return {name: value for name, value in self.model.items() if name != FROM}
