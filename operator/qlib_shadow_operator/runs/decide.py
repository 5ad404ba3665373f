"""Answer the one question that the operator asks: what is to be done about this run, as things are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.decisions import Decision, View
from qlib_shadow_operator.runs.notes import notes_between
from qlib_shadow_operator.runs.rules import RULES
from qlib_shadow_operator.runs.stages import STAGES, find
from qlib_shadow_operator.runs.status import compose

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Observed, Run


def decide(run: Run, observed: Observed, defaults: Defaults, now: datetime) -> Decision:
    """Answer from what exists; times in the answer have whole seconds, as the API keeps them."""
    now = now.replace(microsecond=0)
    findings = tuple(find(run, observed, stage, defaults, now) for stage in STAGES)
    view = View(run, observed, findings, defaults, now)
    rule, verdict = next((rule, verdict) for rule in RULES if (verdict := rule(view)) is not None)
    status = compose(view, verdict)
    return Decision(
        rule=rule.__name__,
        status=status,
        questions=verdict.questions,
        actions=verdict.actions,
        notes=notes_between(run.status, status),
        look_again_at=verdict.look_again_at,
    )
