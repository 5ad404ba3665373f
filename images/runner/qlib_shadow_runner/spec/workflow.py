"""spec.workflow: what is researched, and with which template."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import WORKFLOW_FILE
from qlib_shadow_runner.fields import check_keys, choice, integer, mapping, refuse, text
from qlib_shadow_runner.spec.model import parse_model
from qlib_shadow_runner.spec.portfolio import (
    EXCHANGE_FIELDS,
    STRATEGY_FIELDS,
    ExchangeCosts,
    Strategy,
    parse_exchange,
    parse_strategy,
)
from qlib_shadow_runner.spec.segments import Segments, parse_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE: Final = "spec.workflow"
AUTO: Final = "auto"
DEFAULT_TEMPLATE: Final = "lightgbm-alpha158"
DEFAULT_SEED: Final = 7
FIELDS: Final = frozenset(
    {
        "template",
        "configMapRef",
        "engine",
        "market",
        "benchmark",
        "segments",
        "model",
        "strategy",
        "exchange",
        "seed",
        "signalsFormat",
    }
)


class Engine(StrEnum):
    """What computes features: the same bits, and the time."""

    FAST = "fast"
    QLIB = "qlib"


DEFAULT_ENGINE: Final = Engine.FAST


class SignalsFormat(StrEnum):
    """How the ranked signals are written."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True)
class ConfigMapRef:
    """A template of the user's own."""

    name: str
    key: str = WORKFLOW_FILE

    def __str__(self) -> str:
        return f'ConfigMap "{self.name}", key "{self.key}"'


@dataclass(frozen=True)
class WorkflowSpec:
    """What is researched."""

    template: str = DEFAULT_TEMPLATE
    config_map: ConfigMapRef | None = None
    """Stands instead of `template`."""
    engine: Engine | None = None
    """None where the template decides; a built-in one takes the default."""
    market: str = AUTO
    benchmark: str = AUTO
    segments: Segments | None = None
    model: Mapping[str, float] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    exchange: ExchangeCosts = field(default_factory=ExchangeCosts)
    seed: int = DEFAULT_SEED
    signals_format: SignalsFormat = SignalsFormat.PARQUET
    asked: Mapping[str, str] = field(default_factory=dict)
    """The template's parameters that the manifest sets, and where: they must not be lost."""


def parse_workflow(raw: Mapping[str, object]) -> WorkflowSpec:
    """Read spec.workflow."""
    check_keys(raw, FIELDS, WHERE)
    if "template" in raw and "configMapRef" in raw:
        refuse(
            f"{WHERE} takes template (a built-in one) or configMapRef (one of yours), not both; remove one"
        )
    model, strategy, exchange = (
        mapping(raw.get(name, {}), f"{WHERE}.{name}") for name in ("model", "strategy", "exchange")
    )
    formats = tuple(SignalsFormat)
    return WorkflowSpec(
        template=text(raw.get("template", DEFAULT_TEMPLATE), f"{WHERE}.template"),
        config_map=_config_map(raw.get("configMapRef")),
        engine=_engine(raw.get("engine")),
        market=_symbol(raw.get("market", AUTO), f"{WHERE}.market"),
        benchmark=_symbol(raw.get("benchmark", AUTO), f"{WHERE}.benchmark"),
        segments=parse_segments(raw.get("segments")),
        model=parse_model(model),
        strategy=parse_strategy(strategy),
        exchange=parse_exchange(exchange),
        seed=integer(raw.get("seed", DEFAULT_SEED), 0, 2**31 - 1, f"{WHERE}.seed"),
        signals_format=SignalsFormat(
            choice(raw.get("signalsFormat", "parquet"), formats, f"{WHERE}.signalsFormat")
        ),
        asked=MappingProxyType(
            {
                **{f"model.{name}": f"{WHERE}.model.{name}" for name in model},
                **{f"strategy.{STRATEGY_FIELDS[name]}": f"{WHERE}.strategy.{name}" for name in strategy},
                **{f"exchange.{EXCHANGE_FIELDS[name]}": f"{WHERE}.exchange.{name}" for name in exchange},
            }
        ),
    )


def _engine(value: object) -> Engine | None:
    return None if value is None else Engine(choice(value, tuple(Engine), f"{WHERE}.engine"))


def _config_map(value: object) -> ConfigMapRef | None:
    where = f"{WHERE}.configMapRef"
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
