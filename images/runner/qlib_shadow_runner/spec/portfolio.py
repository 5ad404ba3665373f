"""spec.workflow.strategy and spec.workflow.exchange: what is held, and what a simulated trade costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.fields import check_keys, choice, integer, number, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

STRATEGY_FIELDS: Final[Mapping[str, str]] = {"topk": "topk", "nDrop": "n_drop"}
"""The manifest's spelling, and the template's."""
EXCHANGE_FIELDS: Final[Mapping[str, str]] = {
    "openCost": "open_cost",
    "closeCost": "close_cost",
    "minCost": "min_cost",
    "impactCost": "impact_cost",
    "account": "account",
    "dealPrice": "deal_price",
}


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


def parse_strategy(raw: Mapping[str, object]) -> Strategy:
    """Read spec.workflow.strategy."""
    where = "spec.workflow.strategy"
    check_keys(raw, STRATEGY_FIELDS.keys(), where)
    topk = integer(raw["topk"], 1, 10_000, f"{where}.topk") if "topk" in raw else None
    n_drop = integer(raw["nDrop"], 0, 10_000, f"{where}.nDrop") if "nDrop" in raw else None
    if topk is not None and n_drop is not None and n_drop > topk:
        refuse(f"{where}.nDrop is {n_drop}, more than topk, which is {topk}")
    return Strategy(topk, n_drop)


def parse_exchange(raw: Mapping[str, object]) -> ExchangeCosts:
    """Read spec.workflow.exchange."""
    where = "spec.workflow.exchange"
    check_keys(raw, EXCHANGE_FIELDS.keys(), where)
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
