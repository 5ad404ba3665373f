"""What RUN_METADATA.json says of the research: the plan, and the values that the workflow has.

A user's template may have its own costs or strategy, so these are read from the workflow and not
from the run manifest.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.workflow.parsed import class_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract.spec.workflow import WorkflowSpec
    from qlib_shadow_runner.discovery.lives import Lives
    from qlib_shadow_runner.discovery.research_plan import ResearchPlan
    from qlib_shadow_runner.workflow.parsed import Workflow
    from qlib_shadow_runner.workflow.prepare import Research

REGION_RULES: Final[Mapping[str, Mapping[str, float | None]]] = {
    "us": {"limit_threshold": None, "trade_unit": 1},
    "cn": {"limit_threshold": 0.095, "trade_unit": 100},
    "tw": {"limit_threshold": 0.1, "trade_unit": 1000},
}
"""Qlib's values where a workflow gives none."""
COSTS: Final = ("open_cost", "close_cost", "min_cost", "deal_price")
SURVIVORS: Final = "A universe that lists only what is still traded today has survivorship bias; "
"""The first half of the caveat; the second says what the data shows of this universe."""
NO_SLIPPAGE: Final = (
    "The simulation fills every order at the day's price: no slippage, no market impact, no taxes."
)
SLIPPAGE: Final = (
    "The simulation fills every order whole, at the day's price; slippage is a cost and does not move it. "
    "There are no taxes."
)
SYNTHETIC: Final = (
    "The prices are synthetic: the figures show that the pipeline works, and nothing about any market."
)


def describe_research(
    asked: WorkflowSpec, research: Research, lives: Lives, *, synthetic: bool
) -> dict[str, object]:
    """Return the fields of RUN_METADATA.json that describe the research."""
    plan, workflow = research.plan, research.workflow
    exchange = exchange_of(workflow)
    segments = {name: [str(day) for day in span] for name, span in plan.days.segments.values().items()}
    known = [_survivors(plan, lives), SLIPPAGE if exchange["impact_cost"] else NO_SLIPPAGE]
    return {
        "config_hash": research.config_hash,
        "workflow_sha256": workflow.sha256,
        "template": asked.template if asked.config_map is None else str(asked.config_map),
        "model": class_of(workflow.model),
        "handler": class_of(workflow.handler),
        "engines": workflow.engines,
        "seed": asked.seed,
        "market": plan.market.name,
        "market_size": len(plan.market.symbols),
        "universe_end": None if plan.universe_end is None else str(plan.universe_end),
        "market_chosen_by": plan.market.chosen_by,
        "market_lives": asdict(lives),
        "benchmark": plan.benchmark.symbol,
        "benchmark_chosen_by": plan.benchmark.chosen_by,
        "benchmark_excluded": plan.market.excluded is not None,
        "segments": segments,
        "segment_days": plan.days.counts,
        "segments_chosen_by": plan.days.chosen_by,
        "segments_rule": plan.days.rule,
        "label_looks_ahead_days": workflow.reach.ahead,
        "label_horizon_days": workflow.horizon,
        "backtest": [str(day) for day in plan.days.backtest],
        "strategy": strategy_of(workflow),
        "exchange": exchange,
        "caveats": [*([SYNTHETIC] if synthetic else []), *known, *plan.days.caveats],
    }


def _survivors(plan: ResearchPlan, lives: Lives) -> str:
    if not lives.ended:
        return f"{SURVIVORS}in this one no instrument ends before the data does."
    return (
        f"{SURVIVORS}in this one {lives.ended} of {len(plan.market.symbols)} instruments end before the data "
        "does, and whether others that ended are missing, the data cannot tell."
    )


def strategy_of(workflow: Workflow) -> dict[str, object]:
    """Return the arguments of the strategy."""
    arguments = workflow.strategy["kwargs"]
    return {name: value for name, value in arguments.items() if name != "signal"}


def exchange_of(workflow: Workflow) -> dict[str, object]:
    """Return what a simulated trade costs, and the rules of trading."""
    account, exchange = workflow.backtest["account"], workflow.exchange
    rules = dict(REGION_RULES[workflow.document["qlib_init"]["region"]])
    if exchange.get("limit_threshold") is not None:  # null means the region's to Qlib
        rules["limit_threshold"] = exchange["limit_threshold"]
    if "trade_unit" in exchange:  # null means none to Qlib
        rules["trade_unit"] = exchange["trade_unit"]
    costs = {name: exchange[name] for name in COSTS}
    return {**costs, "impact_cost": exchange.get("impact_cost", 0.0), "account": account, **rules}
