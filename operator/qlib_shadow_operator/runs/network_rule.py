"""The rule about labels of a run by which a NetworkPolicy would open the network for the training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause
from qlib_shadow_operator.runs.conditions import network_query
from qlib_shadow_operator.runs.decisions import RuleResult, RunView
from qlib_shadow_operator.runs.names import StageState, child_labels
from qlib_shadow_operator.runs.queries import NO_WARNING_LIFETIME, FindEgressPolicy
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract.stages import STAGES

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import StageStatus


def labels_open_the_network(view: RunView) -> RuleResult | None:
    """Fail a run whose labels would make a NetworkPolicy open the network for the training.

    Where the policies cannot be read, the training waits.
    """
    found = view.current
    if found is None or found.job is not None or not STAGES[found.status.name].is_closed:
        return None
    run, stage = view.run, found.status.name
    if not run.spec.stages.of(stage).labels:
        return None
    plain = {**view.defaults.pods.labels, **child_labels(run.name, run.uid, stage)}
    with_labels, without = (
        network_query(run, stage, view.defaults),
        FindEgressPolicy(frozenset(plain.items())),
    )
    answers = view.observed.answers
    if unknown := tuple(query for query in (with_labels, without) if query not in answers):
        return RuleResult(queries=unknown)
    if None in (answers[without], answers[with_labels]):
        return None if run.spec.suspend else _wait_for_policies(view, found.status)
    if answers[without] and not answers[with_labels]:
        sentence = reasons.labels_open_the_network(stage, run.namespace)
        return RuleResult(failure=Cause(OperatorReason.NOT_ALLOWED, sentence))
    return None


def _wait_for_policies(view: RunView, status: StageStatus) -> RuleResult:
    """Wait until the NetworkPolicies can be read, no longer than the start timeout."""
    cause = Cause(
        OperatorReason.NETWORK_POLICY_UNREAD, reasons.policies_unread(status.name, view.run.namespace)
    )
    waits = status.state is StageState.WAITING and status.reason == cause.reason
    begun = (status.last_transition_time if waits else None) or view.now
    limit = begun + view.defaults.start_timeout
    if view.now >= limit:
        seconds = int(view.defaults.start_timeout.total_seconds())
        return RuleResult(failure=Cause(cause.reason, reasons.timed_out(seconds, cause.message)))
    stage = replace(status, state=StageState.WAITING, reason=cause.reason, message=cause.message)
    again = view.now + NO_WARNING_LIFETIME * view.defaults.query_after
    return RuleResult(stage=stage, requeue_at=min(limit, again))
