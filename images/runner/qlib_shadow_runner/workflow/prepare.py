"""From a run's spec and its dataset to the workflow that qrun is given.

The label decides how many days must lie between segments, but it is known only after rendering, which needs
the segments. So a workflow whose label differs from the usual one is planned and rendered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import AUTO
from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, feature_folder
from qlib_shadow_runner.discovery.benchmark import Benchmark
from qlib_shadow_runner.discovery.market import Market
from qlib_shadow_runner.discovery.reach import ALPHA158
from qlib_shadow_runner.discovery.research_plan import ResearchPlan, make_plan
from qlib_shadow_runner.discovery.segments import plan_segments
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean
from qlib_shadow_runner.workflow.agreement import check_agreement, check_used
from qlib_shadow_runner.workflow.filling import fill
from qlib_shadow_runner.workflow.parsed import KEPT_MODEL, LIVE_MODEL, Workflow, parse
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.templates import find_template, template_parameters
from qlib_shadow_runner.workflow.vetting import vet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_runner.contract.spec.workflow import Segments, WorkflowSpec
    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.discovery.live_days import LiveDays
    from qlib_shadow_runner.discovery.reach import Reach
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template

MOST_RENDERINGS: Final = 3
OF_THE_STAGE: Final = (KEPT_MODEL, LIVE_MODEL)
"""Sections that the stage adds to a workflow."""


@dataclass(frozen=True)
class RenderContext:
    """What a workflow depends on besides the spec."""

    provider_uri: str
    fingerprint: str
    threads: int


@dataclass(frozen=True)
class Research:
    """What `auto` stands for in a run, the workflow, and the hash of its configuration."""

    plan: ResearchPlan
    workflow: Workflow
    config_hash: str

    def keeping(self, files: Mapping[str, str], workflow: Workflow, fingerprint: str) -> Research:
        """Return the research with a kept model, whose hashes are part of the configuration."""
        workflow = workflow.keeping(files)
        return Research(self.plan, workflow, workflow.config_hash(fingerprint))

    def refitting(self, live: LiveDays, fingerprint: str, *, kept: bool) -> Research:
        """Return the research with a live model, whose days are part of the configuration."""
        workflow = self.workflow.refitting(live, kept=kept)
        return Research(self.plan, workflow, workflow.config_hash(fingerprint))


def prepare(spec: RunSpec, template: Template, dataset: Dataset, context: RenderContext) -> Research:
    """Return the plan and the workflow of a run on a dataset."""
    research = _render_until_stable(
        spec, template, context, lambda reach: make_plan(dataset, spec.workflow, reach)
    )
    for field in sorted(research.workflow.fields):
        _check_field(dataset, research.plan.market.symbols, field)
    return research


def _render_until_stable(
    spec: RunSpec, template: Template, context: RenderContext, plan_for: Callable[[Reach], ResearchPlan]
) -> Research:
    """Plan and render until the plan leaves the days that the workflow needs."""
    reach = ALPHA158
    for _ in range(MOST_RENDERINGS):
        plan = plan_for(reach)
        workflow = render(spec, plan, template, context)
        if workflow.reach == reach:
            return Research(plan, workflow, workflow.config_hash(context.fingerprint))
        reach = workflow.reach
    raise StageError(
        Reason.INVALID_WORKFLOW,
        f"{template.name} has another label or other features whenever the segments are others. "
        "Write both without the parameters segments and backtest.",
    )


def render(spec: RunSpec, plan: ResearchPlan, template: Template, context: RenderContext) -> Workflow:
    """Return the workflow of a plan: filled in, parsed, vetted, and in agreement with the spec."""
    filled = fill(template, template_parameters(spec, plan, context.provider_uri, context.threads))
    workflow = parse(filled.text)
    for section in OF_THE_STAGE:
        if section in workflow.document:
            refuse(f"{template.name} has a section {section}, which only the runner writes; remove it")
    vet(workflow)
    check_agreement(workflow, filled, spec, plan)
    return workflow


def _check_field(dataset: Dataset, symbols: tuple[str, ...], field: str) -> None:
    """Refuse a field that no instrument has: Qlib would make it a column without values."""
    if any(dataset.bin_span(symbol, field) for symbol in symbols):
        return
    folder = dataset.folder / "features" / feature_folder(symbols[0])
    known = [f"${path.name.removesuffix(BIN_SUFFIX)}" for path in folder.glob(f"*{BIN_SUFFIX}")]
    refuse(
        f"the workflow asks for ${field}, and no instrument of {dataset.folder.name} has a file "
        f"{field}{BIN_SUFFIX} in features/; {did_you_mean(f'${field}', known)}"
    )


DATA_DECIDES: Final = frozenset({Reason.SEGMENTS_INVALID, Reason.DATASET_TOO_SHORT})
"""Faults of a calendar: on made-up days they say nothing of the run."""


def check_without_data(spec: RunSpec, own_text: str | None) -> Workflow | None:
    """Refuse a workflow that no dataset can make right: an unknown template or parameter, a forbidden class.

    Days, market and benchmark are made up here, so what depends on them is left to the qrun stage. Return the
    workflow; None where it is not known yet.
    """
    if spec.workflow.config_map is not None and own_text is None:
        return None  # an operator of an earlier version gives the template to the qrun stage alone
    template = find_template(spec.workflow, own_text)
    try:
        plan = _made_up_plan(spec.workflow, ALPHA158)
    except StageError as fault:
        if fault.reason in DATA_DECIDES:
            return None
        raise
    filled = fill(template, template_parameters(spec, plan, NO_DATASET.provider_uri, NO_DATASET.threads))
    workflow = parse(filled.text)
    vet(workflow)
    check_used(spec, filled)
    return workflow


YEAR: Final = timedelta(days=366)
YEARS: Final = 12
LAST: Final = date(2025, 12, 31)
SYMBOLS: Final = tuple(f"SYM{number:03}" for number in range(100))
NO_DATASET: Final = RenderContext(provider_uri="/data/qlib/qlib_data/rehearsal", fingerprint="", threads=1)


def render_without_data(spec: RunSpec, template: Template) -> Research:
    """Return the workflow for a made-up market, so that most mistakes show before any data is there."""
    return _render_until_stable(spec, template, NO_DATASET, lambda reach: _made_up_plan(spec.workflow, reach))


def _made_up_plan(asked: WorkflowSpec, reach: Reach) -> ResearchPlan:
    """Return a plan for a market that does not exist."""
    market = Market("all" if asked.market == AUTO else asked.market, SYMBOLS, None, "rehearsal")
    benchmark = Benchmark("^GSPC" if asked.benchmark == AUTO else asked.benchmark, "rehearsal")
    days = plan_segments(_calendar(asked.segments), asked.segments, "rehearsal", reach)
    return ResearchPlan(market, benchmark, days)


def _calendar(segments: Segments | None) -> list[date]:
    """Return weekdays, enough for the segments, for their open ends, and for what features look back."""
    asked = segments.values().values() if segments else ()
    known = [day for span in asked for day in span if day]
    closed = segments is not None and segments.test[1] is not None
    last = max(known) if closed else max([LAST, *(day + YEAR for day in known)])
    first = min([last, *known]) - YEARS * YEAR
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in every if day.weekday() < 5 or day in known]  # noqa: PLR2004 - Saturday
