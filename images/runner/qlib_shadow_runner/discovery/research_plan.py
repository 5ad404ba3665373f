"""Market, benchmark and segments of a run on one dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.discovery.benchmark import Benchmark, check_coverage, find_benchmark
from qlib_shadow_runner.discovery.market import Market, describe_market, find_market
from qlib_shadow_runner.discovery.reach import ALPHA158, Reach
from qlib_shadow_runner.discovery.segments import SegmentPlan, plan_segments
from qlib_shadow_runner.discovery.traded_days import traded_days

if TYPE_CHECKING:
    from datetime import date

    from qlib_shadow_runner.contract.spec.workflow import WorkflowSpec
    from qlib_shadow_runner.dataset.qlib_layout import Dataset


@dataclass(frozen=True)
class ResearchPlan:
    """Market, benchmark and segments, as asked or as found for `auto`."""

    market: Market
    benchmark: Benchmark
    days: SegmentPlan
    universe_end: date | None = None
    """The last day on which the universe trades; None without data."""


def make_plan(dataset: Dataset, workflow: WorkflowSpec, reach: Reach = ALPHA158) -> ResearchPlan:
    """Return market, benchmark and segments, or refuse the first one that cannot be found."""
    name, chosen_by = find_market(dataset, workflow.market)
    benchmark = find_benchmark(dataset, workflow.benchmark, name)
    market = describe_market(dataset, name, chosen_by, benchmark.symbol)
    traded = traded_days(dataset, market)
    wanted = workflow.segments or workflow.window
    days = plan_segments(dataset.calendar, wanted, str(dataset.folder), reach, traded)
    check_coverage(dataset, benchmark, *days.backtest)
    return ResearchPlan(market, benchmark, days, traded.days[-1])
