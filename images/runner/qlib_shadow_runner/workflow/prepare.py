"""From a run's question and its data to the file that qrun is given.

The label decides how much must lie between segments, and is known only when the template is filled in, for
which the segments are needed. So it is done again where the label is another than the usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec import AUTO
from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, feature_folder
from qlib_shadow_runner.discovery.benchmark import Benchmark
from qlib_shadow_runner.discovery.market import Market
from qlib_shadow_runner.discovery.research_plan import ResearchPlan, make_plan
from qlib_shadow_runner.discovery.segments import ALPHA158, Reach, plan_segments
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean
from qlib_shadow_runner.workflow.parts import workflow_fields, workflow_reach
from qlib_shadow_runner.workflow.render import RenderContext, Workflow, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_runner.contract.spec import Segments
    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.discovery.segments import Reach
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template

TRIES: Final = 3


@dataclass(frozen=True)
class Research:
    """What is researched, and the workflow that does it."""

    plan: ResearchPlan
    workflow: Workflow
    reach: Reach


def prepare(spec: RunSpec, template: Template, dataset: Dataset, render_context: RenderContext) -> Research:
    """Plan, fill in the template, and plan again if its label or its features reach farther."""
    research = settle(spec, template, render_context, lambda reach: make_plan(dataset, spec.workflow, reach))
    for field in sorted(workflow_fields(research.workflow.document)):
        _check_field(dataset, research.plan.market.symbols, field)
    return research


def _check_field(dataset: Dataset, symbols: tuple[str, ...], field: str) -> None:
    """Refuse a field that nobody has: to Qlib it is a column without values, and no mistake."""
    if any(dataset.bin_span(symbol, field) for symbol in symbols):
        return
    folder = dataset.folder / "features" / feature_folder(symbols[0])
    known = [f"${path.name.removesuffix(BIN_SUFFIX)}" for path in folder.glob(f"*{BIN_SUFFIX}")]
    raise StageError(
        Reason.INVALID_WORKFLOW,
        f"the workflow asks for ${field}, and no instrument of {dataset.folder.name} has "
        f"features/<symbol>/{field}{BIN_SUFFIX}; {did_you_mean(f'${field}', known)}",
    )


def settle(
    spec: RunSpec,
    template: Template,
    render_context: RenderContext,
    plan_for: Callable[[Reach], ResearchPlan],
) -> Research:
    """Plan and fill in until the plan keeps clear of what the workflow reaches for."""
    reach = ALPHA158
    for _ in range(TRIES):
        plan = plan_for(reach)
        workflow = render(spec, plan, template, render_context)
        found = workflow_reach(workflow.document)
        if found == reach:
            return Research(plan, workflow, reach)
        reach = found
    raise StageError(
        Reason.INVALID_WORKFLOW,
        f"{template.name} has another label or other features whenever the segments are others. "
        "Write both without the parameters segments and backtest.",
    )


YEARS: Final = 12
LAST: Final = date(2025, 12, 31)
SYMBOLS: Final = tuple(f"SYM{number:03}" for number in range(100))
NO_DATASET: Final = RenderContext(provider_uri="/data/qlib/qlib_data/rehearsal", fingerprint="", threads=1)


def render_without_data(spec: RunSpec, template: Template) -> Research:
    """Do everything that is done before training, but for looking into a dataset."""
    asked = spec.workflow
    days = _calendar(asked.segments)
    market = Market("all" if asked.market == AUTO else asked.market, SYMBOLS, None, "rehearsal")
    benchmark = Benchmark("^GSPC" if asked.benchmark == AUTO else asked.benchmark, "rehearsal")

    def plan_for(reach: Reach) -> ResearchPlan:
        return ResearchPlan(market, benchmark, plan_segments(days, asked.segments, "rehearsal", reach))

    return settle(spec, template, NO_DATASET, plan_for)


def _calendar(segments: Segments | None) -> list[date]:
    """Give weekdays, enough for the segments and for what features look back."""
    last = segments.test[1] if segments else LAST
    first = min(segments.train[0] if segments else last, last - timedelta(days=366 * YEARS))
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in every if day.weekday() < 5 or day in (first, last)]  # noqa: PLR2004 - Saturday
