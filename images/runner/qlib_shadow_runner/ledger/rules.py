"""The rules of a book: everything besides signals and prices that its decisions and fills follow from.

A default never changes: the hash of rules is that of the fields that have another value than their default,
so that a field which a later version adds changes no hash, and with it no order's id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Costs:
    """The costs of a trade, and what may be traded, as Qlib's exchange has them."""

    open_cost: float = 0.0005
    close_cost: float = 0.0015
    min_cost: float = 5.0
    impact_cost: float = 0.0
    limit_threshold: float | None = None
    trade_unit: int | None = 1
    """The lot: raw shares."""
    slippage_bps: float = 0.0
    forbid_all_at_limit: bool = True
    """At a limit, up or down, nothing is bought or sold, as Qlib's strategy has it by default."""


@dataclass(frozen=True)
class Targets:
    """Which instruments are wanted, and how much of each."""

    topk: int
    n_drop: int
    weights: str | None = None
    """equal, score or inverseVol; None sizes a purchase once, as Qlib's strategy does."""
    risk_degree: float = 0.95
    """The share of the money that is invested."""
    hold_days: int = 1
    """An instrument is held for so many days at least."""


@dataclass(frozen=True)
class Limits:
    """What the orders of a day may not exceed; None is no limit."""

    max_weight: float | None = None
    max_turnover: float | None = None
    min_names: int | None = None
    max_gross: float | None = None
    max_participation: float | None = None


@dataclass(frozen=True)
class GateRules:
    """What must hold before orders are recorded; None and False are not asked."""

    max_data_age_days: int | None = 4
    max_model_age_days: int | None = None
    live_ic: bool = True
    drift: bool = True
    golden: bool = True
    min_coverage: float | None = 0.8
    max_drawdown: float | None = None
    max_daily_loss: float | None = None


@dataclass(frozen=True)
class Rules:
    """All rules of one era of a book."""

    targets: Targets
    costs: Costs = Costs()
    limits: Limits = Limits()
    gates: GateRules = GateRules()
    fill_at: str = "close"
    unfilled: str = "Drop"
    delisted: str = "Hold"
    slices: int = 1
    decide_before: str | None = None
    calendar: str = "XNYS"
    region: str = "us"

    def document(self) -> dict[str, Any]:
        """Return the rules as the book records them."""
        return dataclasses.asdict(self)

    @property
    def sha256(self) -> str:
        """Return the hash that names these rules: of what differs from the defaults."""
        return hashlib.sha256(json.dumps(_chosen(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return recorded rules; raises TypeError, KeyError or ValueError where they are none.

        A part or a field that is not there has its default: an earlier version did not know it.
        """
        parts = {"targets": Targets, "costs": Costs, "limits": Limits, "gates": GateRules}
        found = {name: kind(**document[name]) for name, kind in parts.items() if name in document}
        return cls(**{**document, **found})


def sha256_of_rules(document: Mapping[str, Any]) -> str:
    """Return the hash of rules as they are recorded, which an earlier version may have done."""
    return Rules.read(document).sha256


def _chosen(rules: Any) -> dict[str, Any]:
    """Return the fields of rules, or of a part of them, that differ from their defaults."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(rules):
        value = getattr(rules, one.name)
        if value == one.default:
            continue
        if dataclasses.is_dataclass(value):
            found[one.name] = _chosen(value)
        else:  # 1 and 1.0 are the same rule
            found[one.name] = float(value) if type(value) is int else value
    return found
