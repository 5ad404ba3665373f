"""Filling in a template for a market that is not there: most mistakes show before there is any data."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.spec import AUTO
from qlib_shadow_runner.discovery.benchmark import Benchmark
from qlib_shadow_runner.discovery.market import Market
from qlib_shadow_runner.discovery.plan import ResearchPlan
from qlib_shadow_runner.discovery.segments import plan_segments
from qlib_shadow_runner.workflow.prepare import Research, settle
from qlib_shadow_runner.workflow.render import Surroundings

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.spec import Segments
    from qlib_shadow_runner.discovery.reach import Reach
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template

YEARS: Final = 12
LAST: Final = date(2025, 12, 31)
SYMBOLS: Final = tuple(f"SYM{number:03}" for number in range(100))
NOWHERE: Final = Surroundings(provider_uri="/data/qlib/qlib_data/rehearsal", fingerprint="", threads=1)


def rehearse(spec: RunSpec, template: Template) -> Research:
    """Do everything that is done before training, but for looking into a dataset."""
    asked = spec.workflow
    days = _calendar(asked.segments)
    market = Market("all" if asked.market == AUTO else asked.market, SYMBOLS, None, "rehearsal")
    benchmark = Benchmark("^GSPC" if asked.benchmark == AUTO else asked.benchmark, "rehearsal")

    def plan_for(reach: Reach) -> ResearchPlan:
        return ResearchPlan(market, benchmark, plan_segments(days, asked.segments, "rehearsal", reach))

    return settle(spec, template, NOWHERE, plan_for)


def _calendar(segments: Segments | None) -> list[date]:
    """Give weekdays, enough for the segments and for what features look back."""
    last = segments.test[1] if segments else LAST
    first = min(segments.train[0] if segments else last, last - timedelta(days=366 * YEARS))
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in every if day.weekday() < 5 or day in (first, last)]  # noqa: PLR2004 - Saturday
