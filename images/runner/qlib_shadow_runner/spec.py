"""The manifest's spec as frozen values, every fault a sentence that says what to write instead.

Knows names and ranges, nothing of what the volume holds: that is discovery's. What belongs to the
operator (storage, stages, image …) is accepted by name and ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    DEFAULT_DATA,
    DEFAULT_DATASET_PATH,
    WORKFLOW_FILE,
    Reason,
    run_id_fault,
)
from qlib_shadow_runner.dataset.quality.policy import Policy, parse_policy
from qlib_shadow_runner.dataset.sources import SOURCES, Source, parse_source
from qlib_shadow_runner.fields import check_keys, choice, integer, mapping, number, refuse, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

if TYPE_CHECKING:
    from qlib_shadow_runner.volume import Volume

AUTO: Final = "auto"
DEFAULT_TEMPLATE: Final = "lightgbm-alpha158"
OPERATOR_KEYS: Final = frozenset(
    {
        "storage",
        "stages",
        "image",
        "imagePullPolicy",
        "imagePullSecrets",
        "queueName",
        "suspend",
        "ttlSecondsAfterFinished",
    }
)
"""Keys of the spec that only the operator reads."""


class Refresh(StrEnum):
    """When a dataset is built although one is there."""

    IF_MISSING = "IfMissing"
    ALWAYS = "Always"
    NEVER = "Never"


class Reuse(StrEnum):
    """What becomes of a question that a finished run has answered already."""

    NEVER = "Never"
    IF_IDENTICAL = "IfIdentical"


class SignalsFormat(StrEnum):
    """How the ranked signals are written."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True)
class Segments:
    """Three spans of trading days, both ends included."""

    train: tuple[date, date]
    valid: tuple[date, date]
    test: tuple[date, date]


@dataclass(frozen=True)
class DatasetSpec:
    """Which data, and how fresh."""

    path: str = DEFAULT_DATASET_PATH
    region: str = "us"
    interval: str = "1d"
    refresh: Refresh = Refresh.IF_MISSING
    max_age_days: int | None = None
    source: Source = field(default_factory=SOURCES["existing"].default)
    quality: Policy = field(default_factory=Policy)

    def at(self, volume: Volume) -> DatasetSpec:
        """Bind the source to this machine's volume."""
        return replace(self, source=self.source.at(volume))


@dataclass(frozen=True)
class Strategy:
    """TopkDropout: hold `topk`, replace at most `n_drop` a day."""

    topk: int | None = None
    n_drop: int | None = None


@dataclass(frozen=True)
class ExchangeCosts:
    """What a simulated trade costs; the defaults are the ones Qlib's examples use."""

    open_cost: float = 0.0005
    close_cost: float = 0.0015
    min_cost: float = 5.0
    impact_cost: float = 0.0
    account: float = 100_000_000.0
    deal_price: str = "close"


@dataclass(frozen=True)
class ConfigMapRef:
    """A template of the user's own."""

    name: str
    key: str = WORKFLOW_FILE


@dataclass(frozen=True)
class WorkflowSpec:
    """What is researched."""

    template: str = DEFAULT_TEMPLATE
    config_map: ConfigMapRef | None = None
    """Stands instead of `template`."""
    market: str = AUTO
    benchmark: str = AUTO
    segments: Segments | None = None
    model: Mapping[str, float] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    exchange: ExchangeCosts = field(default_factory=ExchangeCosts)
    seed: int = 7
    signals_format: SignalsFormat = SignalsFormat.PARQUET


@dataclass(frozen=True)
class RunSpec:
    """One run's question."""

    dataset: DatasetSpec
    workflow: WorkflowSpec
    run_id: str | None = None
    reuse: Reuse = Reuse.NEVER


MODEL_PARAMETERS: Final[Mapping[str, tuple[type, float, float]]] = {
    "learning_rate": (float, 1e-5, 1),
    "num_leaves": (int, 2, 4096),
    "max_depth": (int, -1, 64),
    "lambda_l1": (float, 0, 1e6),
    "lambda_l2": (float, 0, 1e6),
    "colsample_bytree": (float, 0.01, 1),
    "subsample": (float, 0.01, 1),
    "subsample_freq": (int, 0, 1000),
    "min_child_samples": (int, 1, 10_000_000),
    "min_split_gain": (float, 0, 1e6),
    "max_bin": (int, 15, 4095),
    "num_boost_round": (int, 1, 100_000),
    "early_stopping_rounds": (int, 1, 100_000),
}
"""LightGBM's parameters that a run may set, with their ranges; threads, seeds and devices are ours."""


def parse_spec(document: object) -> RunSpec:
    """Read a whole spec."""
    raw = mapping(document, "spec")
    check_keys(raw, {"dataset", "workflow", "runId", "reuse", *OPERATOR_KEYS}, "spec")
    run_id = raw.get("runId")
    if run_id is not None:
        fault = run_id_fault(text(run_id, "spec.runId"))
        if fault:
            refuse(fault)
    return RunSpec(
        dataset=_dataset(mapping(raw.get("dataset", {}), "spec.dataset")),
        workflow=_workflow(mapping(raw.get("workflow", {}), "spec.workflow")),
        run_id=None if run_id is None else str(run_id),
        reuse=Reuse(choice(raw.get("reuse", "Never"), tuple(Reuse), "spec.reuse")),
    )


def _dataset(raw: Mapping[str, object]) -> DatasetSpec:
    where = "spec.dataset"
    check_keys(raw, {"path", "region", "interval", "refresh", "maxAgeDays", "source", "quality"}, where)
    age = raw.get("maxAgeDays")
    return DatasetSpec(
        path=_dataset_path(text(raw.get("path", DEFAULT_DATASET_PATH), f"{where}.path")),
        region=choice(raw.get("region", "us"), ("us", "cn", "tw"), f"{where}.region"),
        interval=choice(raw.get("interval", "1d"), ("1d",), f"{where}.interval"),
        refresh=Refresh(choice(raw.get("refresh", "IfMissing"), tuple(Refresh), f"{where}.refresh")),
        max_age_days=None if age is None else integer(age, 0, 100_000, f"{where}.maxAgeDays"),
        source=parse_source(raw.get("source", {"existing": {}})),
        quality=parse_policy(raw.get("quality", {})),
    )


def _dataset_path(path: str) -> str:
    if not re.fullmatch(rf"{DEFAULT_DATA}(/[A-Za-z0-9_][A-Za-z0-9._-]*)+", path):
        refuse(
            f'spec.dataset.path "{path}" must lie under {DEFAULT_DATA}, of letters, digits, ".", "_" '
            f'and "-", for example {DEFAULT_DATASET_PATH}'
        )
    return path


def _workflow(raw: Mapping[str, object]) -> WorkflowSpec:
    where = "spec.workflow"
    known = {
        "template",
        "configMapRef",
        "market",
        "benchmark",
        "segments",
        "model",
        "strategy",
        "exchange",
        "seed",
        "signalsFormat",
    }
    check_keys(raw, known, where)
    if "template" in raw and "configMapRef" in raw:
        refuse(
            f"{where} takes template (a built-in one) or configMapRef (one of yours), not both; remove one"
        )
    return WorkflowSpec(
        template=text(raw.get("template", DEFAULT_TEMPLATE), f"{where}.template"),
        config_map=_config_map(raw.get("configMapRef")),
        market=_symbol(raw.get("market", AUTO), f"{where}.market"),
        benchmark=_symbol(raw.get("benchmark", AUTO), f"{where}.benchmark"),
        segments=_segments(raw.get("segments")),
        model=_model(mapping(raw.get("model", {}), f"{where}.model")),
        strategy=_strategy(mapping(raw.get("strategy", {}), f"{where}.strategy")),
        exchange=_exchange(mapping(raw.get("exchange", {}), f"{where}.exchange")),
        seed=integer(raw.get("seed", 7), 0, 2**31 - 1, f"{where}.seed"),
        signals_format=SignalsFormat(
            choice(raw.get("signalsFormat", "parquet"), tuple(SignalsFormat), f"{where}.signalsFormat")
        ),
    )


def _config_map(value: object) -> ConfigMapRef | None:
    where = "spec.workflow.configMapRef"
    if value is None:
        return None
    raw = mapping(value, where)
    check_keys(raw, {"name", "key"}, where)
    if "name" not in raw:
        refuse(f"{where} lacks name; write the ConfigMap's")
    return ConfigMapRef(
        text(raw["name"], f"{where}.name"), text(raw.get("key", WORKFLOW_FILE), f"{where}.key")
    )


def _symbol(value: object, where: str) -> str:
    name = text(value, where)
    if not re.fullmatch(r"[A-Za-z0-9^._=-]{1,40}", name):
        refuse(f'{where} "{name}" must be a name of letters, digits and ^ . _ = -, or auto')
    return name


def _segments(value: object) -> Segments | None:
    where = "spec.workflow.segments"
    if value is None:
        return None
    if value == AUTO:  # the CRD cannot take a word where a mapping may stand
        refuse(f"{where} is made from the calendar when it is left out; leave it out")
    raw = mapping(value, where)
    names = ("train", "valid", "test")
    check_keys(raw, set(names), where)
    missing = [name for name in names if name not in raw]
    if missing:
        refuse(
            f"{where} lacks {', '.join(missing)}: "
            "give all of train, valid and test as [first, last], or leave segments out"
        )
    return Segments(*(_span(raw[name], f"{where}.{name}") for name in names))


def _span(value: object, where: str) -> tuple[date, date]:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - a span has two ends
        refuse(f"{where} must be [first day, last day], for example [2019-01-02, 2022-12-30]")
    first, last = (_day(end, where) for end in value)
    if first > last:
        refuse(f"{where} begins on {first}, after its end {last}", Reason.SEGMENTS_INVALID)
    return first, last


def _day(value: object, where: str) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        refuse(f'{where}: "{value}" is not a date; write it as 2022-12-30')


def _model(raw: Mapping[str, object]) -> Mapping[str, float]:
    where = "spec.workflow.model"
    check_keys(raw, set(MODEL_PARAMETERS), where)
    checks: Mapping[type, Callable[[object, float, float, str], float]] = {int: integer, float: number}
    values = {}
    for name, value in raw.items():
        kind, low, high = MODEL_PARAMETERS[name]
        values[name] = checks[kind](value, low, high, f"{where}.{name}")
    return MappingProxyType(values)


def _strategy(raw: Mapping[str, object]) -> Strategy:
    where = "spec.workflow.strategy"
    check_keys(raw, {"topk", "nDrop"}, where)
    topk = integer(raw["topk"], 1, 10_000, f"{where}.topk") if "topk" in raw else None
    n_drop = integer(raw["nDrop"], 0, 10_000, f"{where}.nDrop") if "nDrop" in raw else None
    if topk is not None and n_drop is not None and n_drop > topk:
        refuse(f"{where}.nDrop is {n_drop}, more than topk, which is {topk}")
    return Strategy(topk, n_drop)


def _exchange(raw: Mapping[str, object]) -> ExchangeCosts:
    where = "spec.workflow.exchange"
    check_keys(raw, {"openCost", "closeCost", "minCost", "impactCost", "account", "dealPrice"}, where)
    base = ExchangeCosts()
    return ExchangeCosts(
        open_cost=number(raw.get("openCost", base.open_cost), 0, 0.5, f"{where}.openCost"),
        close_cost=number(raw.get("closeCost", base.close_cost), 0, 0.5, f"{where}.closeCost"),
        min_cost=number(raw.get("minCost", base.min_cost), 0, 1e6, f"{where}.minCost"),
        impact_cost=number(raw.get("impactCost", base.impact_cost), 0, 0.5, f"{where}.impactCost"),
        account=number(raw.get("account", base.account), 1, 1e15, f"{where}.account"),
        deal_price=choice(
            raw.get("dealPrice", base.deal_price), ("close", "open", "vwap"), f"{where}.dealPrice"
        ),
    )
