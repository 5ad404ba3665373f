"""The conditions of a run. Complete and Failed come from one rule result, so they are never both True."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.jobs import labels_of
from qlib_shadow_operator.runs.model import Condition
from qlib_shadow_operator.runs.names import ConditionType, StageState
from qlib_shadow_operator.runs.print_columns import BEHIND
from qlib_shadow_operator.runs.queries import FindEgressPolicy
from qlib_shadow_operator.runs.reasons import OperatorReason, shorten
from qlib_shadow_runner.contract import Reason, Stage
from qlib_shadow_runner.contract.stages import STAGES, leaving

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.decisions import RuleResult, RunView
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Figures, Run, StageStatus

DECIDED: Final = "Decided"
"""The decision of a night on which all gates are open."""


@dataclass(frozen=True)
class NewCondition:
    """A condition without a time."""

    type: ConditionType
    status: bool
    reason: str
    message: str


def _true(kind: ConditionType, reason: str, message: str) -> NewCondition:
    return NewCondition(kind, status=True, reason=reason, message=message)


def _false(kind: ConditionType, reason: str, message: str) -> NewCondition:
    return NewCondition(kind, status=False, reason=reason, message=message)


def compose_conditions(
    view: RunView,
    rule_result: RuleResult,
    stages: tuple[StageStatus, ...],
    dataset: Figures,
    ledger: Figures,
) -> tuple[Condition, ...]:
    """Return all conditions, always in the same order."""
    provider = leaving("dataset", view.run.stages)
    current = next((one for one in stages if one.state is not StageState.SUCCEEDED), None)
    claims = (
        *(_dataset_ready(one, dataset) for one in stages if one.name is provider),
        *_network_closed(view),
        *_gates_passed(stages, ledger),
        _suspended(rule_result, current),
        _complete(rule_result, current, dataset),
        _failed(rule_result, current),
    )
    return tuple(_with_transition_time(claim, view) for claim in claims)


def _with_transition_time(claim: NewCondition, view: RunView) -> Condition:
    before = view.run.status.condition(claim.type)
    same = before is not None and before.status is claim.status
    return Condition(
        type=claim.type,
        status=claim.status,
        reason=claim.reason,
        message=shorten(claim.message),
        last_transition_time=before.last_transition_time if before and same else view.now,
        observed_generation=view.run.generation,
    )


def _dataset_ready(provider: StageStatus, dataset: Figures) -> NewCondition:
    """Return whether the dataset was verified, by the first stage that leaves one."""
    kind = ConditionType.DATASET_READY
    if provider.state is StageState.SUCCEEDED:
        return _true(kind, OperatorReason.DATASET_VERIFIED, _describe(dataset))
    if provider.state is StageState.FAILED:
        text = f"stage {provider.name} failed; see the condition Failed"
        return _false(kind, provider.reason or Reason.INTERNAL_ERROR, text)
    text = f"the {provider.name} stage has not checked the dataset yet"
    return _false(kind, OperatorReason.DATASET_NOT_CHECKED, text)


def _describe(dataset: Figures) -> str:
    known = {
        name: dataset.get(name, "?")
        for name in ("resolvedPath", "calendarStart", "calendarEnd", "instruments")
    }
    return "{resolvedPath}: {calendarStart} to {calendarEnd}, {instruments} instruments".format(**known)


def network_query(run: Run, stage: Stage, defaults: Defaults) -> FindEgressPolicy:
    """Return the query for a NetworkPolicy that blocks the stage's egress, whatever labels its pod has."""
    return FindEgressPolicy(frozenset(labels_of(run, stage, defaults).items()))


def _network_closed(view: RunView) -> tuple[NewCondition, ...]:
    """Return the condition as it was found once; nothing if it could not be found."""
    kind = ConditionType.NETWORK_CLOSED
    before = view.run.status.condition(kind)
    closed = [stage for stage in view.run.stages if STAGES[stage].is_closed]
    queries = {stage: network_query(view.run, stage, view.defaults) for stage in closed}
    answers = {stage: view.observed.answers.get(query) for stage, query in queries.items()}
    known = [one for one in answers.values() if one is not None]
    if not known:
        return () if before is None else (_again(before),)
    if all(known):
        return (_true(kind, OperatorReason.NETWORK_POLICY_PRESENT, reasons.network_closed(closed)),)
    message = reasons.network_open(
        view.run.namespace, [one for one, answer in answers.items() if answer is False]
    )
    return (_false(kind, OperatorReason.NETWORK_POLICY_MISSING, message),)


def _again(before: Condition) -> NewCondition:
    return NewCondition(before.type, status=before.status, reason=before.reason, message=before.message)


def _gates_passed(stages: tuple[StageStatus, ...], ledger: Figures) -> tuple[NewCondition, ...]:
    """Return whether the book's gates let all orders pass; nothing where none were asked."""
    if not ledger or ledger.get("recorded") == BEHIND:
        return ()
    kind = ConditionType.GATES_PASSED
    if ledger.get("decision") == DECIDED and not ledger.get("closedGates"):
        text = reasons.gates_open(str(ledger.get("book")), str(ledger.get("day")))
        return (_true(kind, OperatorReason.GATES_OPEN, text),)
    told = next((one.message for one in stages if "ledger" in STAGES[one.name].leaves), None)
    text = reasons.gates_closed(str(ledger.get("closedGates", "")), told or "")
    return (_false(kind, OperatorReason.GATES_CLOSED, text),)


def _suspended(rule_result: RuleResult, current: StageStatus | None) -> NewCondition:
    kind = ConditionType.SUSPENDED
    if rule_result.suspended:
        return _true(kind, OperatorReason.SUSPEND_REQUESTED, "spec.suspend is true")
    runs_on = current is not None and current.state is not StageState.WAITING
    if current and runs_on and current.reason == OperatorReason.JOB_NOT_CHANGED:
        return _false(kind, OperatorReason.JOB_NOT_CHANGED, current.message or "")
    return _false(kind, OperatorReason.NOT_SUSPENDED, "spec.suspend is not true")


def _complete(rule_result: RuleResult, current: StageStatus | None, dataset: Figures) -> NewCondition:
    kind = ConditionType.COMPLETE
    if rule_result.complete:
        return _true(kind, OperatorReason.RUN_COMPLETE, f"all stages succeeded on {_describe(dataset)}")
    if rule_result.failure:
        return _false(kind, OperatorReason.RUN_FAILED, "the run failed; see the condition Failed")
    return _false(kind, *_progress(current))


def _failed(rule_result: RuleResult, current: StageStatus | None) -> NewCondition:
    kind = ConditionType.FAILED
    if rule_result.failure:
        return _true(kind, rule_result.failure.reason, rule_result.failure.message)
    if rule_result.complete:
        return _false(kind, OperatorReason.RUN_COMPLETE, "the run is complete")
    return _false(kind, *_progress(current))


def _progress(current: StageStatus | None) -> tuple[str, str]:
    """Return how far the run is, and what its stage waits for or repeats."""
    if current is None:
        return OperatorReason.IN_PROGRESS, "the last stage is done"
    why = f": {current.message}" if current.message else ""
    return current.reason or OperatorReason.IN_PROGRESS, f"stage {current.name}: {current.state}{why}"
