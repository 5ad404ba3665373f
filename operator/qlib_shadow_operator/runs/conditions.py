"""The conditions of a run. Complete and Failed come from one verdict, so that never both are True."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.model import Condition
from qlib_shadow_operator.runs.names import ConditionType, StageState, child_labels
from qlib_shadow_operator.runs.questions import IsNetworkClosed
from qlib_shadow_operator.runs.reasons import OperatorReason, shorten
from qlib_shadow_runner.contract import Reason, Stage

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.decisions import Verdict, View
    from qlib_shadow_operator.runs.model import Figures, Run, StageStatus


@dataclass(frozen=True)
class Claim:
    """A condition before it has a time."""

    type: ConditionType
    status: bool
    reason: str
    message: str


def _yes(kind: ConditionType, reason: str, message: str) -> Claim:
    return Claim(kind, status=True, reason=reason, message=message)


def _no(kind: ConditionType, reason: str, message: str) -> Claim:
    return Claim(kind, status=False, reason=reason, message=message)


def compose_conditions(
    view: View, verdict: Verdict, stages: tuple[StageStatus, ...], dataset: Figures
) -> tuple[Condition, ...]:
    """Give all conditions, always in the same order."""
    download = next(one for one in stages if one.name is Stage.DOWNLOAD)
    current = next((one for one in stages if one.state is not StageState.SUCCEEDED), None)
    claims = (
        _dataset_ready(download, dataset),
        *_network_closed(view),
        _suspended(verdict),
        _complete(verdict, current, dataset),
        _failed(verdict, current),
    )
    return tuple(_dated(claim, view) for claim in claims)


def _dated(claim: Claim, view: View) -> Condition:
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


def _dataset_ready(download: StageStatus, dataset: Figures) -> Claim:
    kind = ConditionType.DATASET_READY
    if download.state is StageState.SUCCEEDED:
        return _yes(kind, OperatorReason.DATASET_VERIFIED, _describe(dataset))
    if download.state is StageState.FAILED:
        return _no(kind, download.reason or Reason.INTERNAL_ERROR, "stage download failed; see stages")
    text = "the download stage has not checked the dataset yet"
    return _no(kind, OperatorReason.DATASET_NOT_CHECKED, text)


def _describe(dataset: Figures) -> str:
    known = {
        name: dataset.get(name, "?")
        for name in ("resolvedPath", "calendarStart", "calendarEnd", "instruments")
    }
    return "{resolvedPath}: {calendarStart} to {calendarEnd}, {instruments} instruments".format(**known)


def network_question(run: Run) -> IsNetworkClosed:
    """Ask whether anything keeps the training stage of a run from the network."""
    return IsNetworkClosed(frozenset(child_labels(run.name, run.uid, Stage.QRUN).items()))


def _network_closed(view: View) -> tuple[Claim, ...]:
    """Say what was found once; where it could not be found out, nothing is said."""
    kind = ConditionType.NETWORK_CLOSED
    before = view.run.status.condition(kind)
    found = view.observed.answers.get(network_question(view.run), before and before.status)
    if found is None:
        return ()
    if found:
        return (_yes(kind, OperatorReason.NETWORK_POLICY_PRESENT, reasons.network_closed()),)
    message = reasons.network_open(view.run.namespace)
    return (_no(kind, OperatorReason.NETWORK_POLICY_MISSING, message),)


def _suspended(verdict: Verdict) -> Claim:
    kind = ConditionType.SUSPENDED
    if verdict.suspended:
        return _yes(kind, OperatorReason.SUSPEND_REQUESTED, "spec.suspend is true")
    return _no(kind, OperatorReason.NOT_SUSPENDED, "spec.suspend is not true")


def _complete(verdict: Verdict, current: StageStatus | None, dataset: Figures) -> Claim:
    kind = ConditionType.COMPLETE
    if verdict.complete:
        return _yes(kind, OperatorReason.RUN_COMPLETE, f"all stages succeeded on {_describe(dataset)}")
    if verdict.failure:
        return _no(kind, OperatorReason.RUN_FAILED, "the run failed; see the condition Failed")
    return _no(kind, *_progress(current))


def _failed(verdict: Verdict, current: StageStatus | None) -> Claim:
    kind = ConditionType.FAILED
    if verdict.failure:
        return _yes(kind, verdict.failure.reason, verdict.failure.message)
    if verdict.complete:
        return _no(kind, OperatorReason.RUN_COMPLETE, "the run is complete")
    return _no(kind, *_progress(current))


def _progress(current: StageStatus | None) -> tuple[str, str]:
    """Say how far the run is; what a stage waits for stands once, with the stage."""
    if current is None:
        return OperatorReason.IN_PROGRESS, "the last stage is done"
    return current.reason or OperatorReason.IN_PROGRESS, f"stage {current.name}: {current.state}"
