"""Decide what to do about a run, from what exists now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.decisions import Decision, RunView
from qlib_shadow_operator.runs.events import events_between
from qlib_shadow_operator.runs.rules import RULES, stop_repetitions
from qlib_shadow_operator.runs.stages import check_stage
from qlib_shadow_operator.runs.status import compose

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Observed, Run


def decide(run: Run, observed: Observed, defaults: Defaults, now: datetime) -> Decision:
    """Return the decision; its times have whole seconds, as the API stores them."""
    now = now.replace(microsecond=0)
    check_results = tuple(check_stage(run, observed, stage, defaults, now) for stage in run.stages)
    view = RunView(run, observed, check_results, defaults, now)
    rule, rule_result = next((rule, rule_result) for rule in RULES if (rule_result := rule(view)) is not None)
    status = compose(view, rule_result)
    return Decision(
        rule=rule.__name__,
        status=status,
        queries=rule_result.queries,
        actions=(*rule_result.actions, *(() if run.deleting else stop_repetitions(view))),
        notes=events_between(run.status, status),
        requeue_at=rule_result.requeue_at,
    )
