"""From a run's question and its data to the file that qrun is given.

The label decides how much must lie between segments, and is known only when the template is filled in, for
which the segments are needed. So it is done again where the label is another than the usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.layout import BIN_SUFFIX, feature_folder
from qlib_shadow_runner.discovery.plan import ResearchPlan, make_plan
from qlib_shadow_runner.discovery.reach import ALPHA158, Reach
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.suggest import did_you_mean
from qlib_shadow_runner.workflow.reach import workflow_fields, workflow_reach
from qlib_shadow_runner.workflow.render import Surroundings, Workflow, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_runner.dataset.layout import Dataset
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template

TRIES: Final = 3


@dataclass(frozen=True)
class Research:
    """What is researched, and the workflow that does it."""

    plan: ResearchPlan
    workflow: Workflow
    reach: Reach


def prepare(spec: RunSpec, template: Template, dataset: Dataset, here: Surroundings) -> Research:
    """Plan, fill in the template, and plan again if its label or its features reach farther."""
    research = settle(spec, template, here, lambda reach: make_plan(dataset, spec.workflow, reach))
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
    spec: RunSpec, template: Template, here: Surroundings, plan_for: Callable[[Reach], ResearchPlan]
) -> Research:
    """Plan and fill in until the plan keeps clear of what the workflow reaches for."""
    reach = ALPHA158
    for _ in range(TRIES):
        plan = plan_for(reach)
        workflow = render(spec, plan, template, here)
        found = workflow_reach(workflow.document)
        if found == reach:
            return Research(plan, workflow, reach)
        reach = found
    raise StageError(
        Reason.INVALID_WORKFLOW,
        f"{template.name} has another label or other features whenever the segments are others. "
        "Write both without the parameters segments and backtest.",
    )
