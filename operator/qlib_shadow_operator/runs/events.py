"""Which Events a status change causes: one per transition, none for an unchanged state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.decisions import Event
from qlib_shadow_operator.runs.names import ConditionType, StageState
from qlib_shadow_operator.runs.reasons import EventReason, OperatorReason
from qlib_shadow_runner.contract.stages import STAGES

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import StageStatus, Status


def events_between(old: Status, new: Status) -> tuple[Event, ...]:
    """Return the Events for the change from one status to the next."""
    stages = (note for one in new.stages if (note := _stage_event(old.stage(one.name), one)))
    return (*stages, *_ledger_event(old, new), *_run_events(old, new))


def _stage_event(old: StageStatus, new: StageStatus) -> Event | None:
    if (old.state, old.reason) == (new.state, new.reason):
        return None
    # A stage that waits without a Job has waited for the API server to accept it.
    had_no_job = old.state is StageState.PENDING or (old.state is StageState.WAITING and old.job_uid is None)
    if new.state is StageState.STARTING and had_no_job:
        return Event(EventReason.STAGE_STARTED, f"stage {new.name} starts as Job {new.job_name}")
    if new.state is StageState.WAITING:
        text = f"stage {new.name} waits: {new.reason}: {new.message}"
        return Event(EventReason.STAGE_WAITING, text, warning=new.reason != OperatorReason.QUEUED)
    if new.reason != old.reason and new.reason in {OperatorReason.RETRYING, OperatorReason.RECOVERING_RESULT}:
        return Event(EventReason.STAGE_RETRYING, f"stage {new.name}: {new.message}", warning=True)
    if new.state is StageState.SUCCEEDED:
        return Event(EventReason.STAGE_SUCCEEDED, f"stage {new.name} succeeded: {new.message}")
    return None


def _ledger_event(old: Status, new: Status) -> tuple[Event, ...]:
    """Return the Event with the head of the book, which later shows whether the chain is still the same."""
    if not new.ledger or old.ledger == new.ledger:
        return ()
    told = next((one.message for one in new.stages if "ledger" in STAGES[one.name].leaves), None)
    gates = new.condition(ConditionType.GATES_PASSED)
    closed = gates is not None and not gates.status
    text = reasons.ledger_recorded(new.ledger, told or "")
    return (Event(EventReason.LEDGER_RECORDED, text, warning=closed),)


def _run_events(old: Status, new: Status) -> tuple[Event, ...]:
    notes = []
    if _condition_changed(old, new, ConditionType.SUSPENDED):
        notes.append(Event(EventReason.SUSPENDED, "spec.suspend is true: no stage runs"))
    paused = new.condition(ConditionType.SUSPENDED)
    resumed = paused is not None and paused.reason == OperatorReason.NOT_SUSPENDED
    if old.is_true(ConditionType.SUSPENDED) and resumed and not new.finished:
        notes.append(Event(EventReason.RESUMED, "spec.suspend is no longer true"))
    if _condition_changed(old, new, ConditionType.COMPLETE):
        notes.append(Event(EventReason.COMPLETE, f"artifacts: {new.artifact_path}"))
    network = new.condition(ConditionType.NETWORK_CLOSED)
    if network and not network.status and not old.condition(ConditionType.NETWORK_CLOSED):
        notes.append(Event(network.reason, network.message, warning=True))
    failed = new.condition(ConditionType.FAILED)
    if failed and _condition_changed(old, new, ConditionType.FAILED):
        notes.append(Event(failed.reason, failed.message, warning=True))
    return tuple(notes)


def _condition_changed(old: Status, new: Status, kind: ConditionType) -> bool:
    return new.is_true(kind) and not old.is_true(kind)
