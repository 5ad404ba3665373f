"""What to do about a run: a chain of named facts, of which the first that holds decides.

Nothing here remembers: a fact is read from the run, its Jobs and Pods, and the time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause
from qlib_shadow_operator.runs.conditions import network_question
from qlib_shadow_operator.runs.decisions import (
    CreateJob,
    DeleteJob,
    DeleteRun,
    SetJobSuspended,
    Verdict,
    View,
)
from qlib_shadow_operator.runs.jobs import build_job, build_report
from qlib_shadow_operator.runs.names import ConditionType, StageState
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.runs.decisions import Action
    from qlib_shadow_operator.runs.model import StageStatus
    from qlib_shadow_operator.runs.questions import Question
    from qlib_shadow_operator.runs.sight import Finding


def run_is_being_deleted(view: View) -> Verdict | None:
    """Leave the rest to the garbage collector."""
    return Verdict(untouched=True) if view.run.deleting else None


def run_has_finished(view: View) -> Verdict | None:
    """Start nothing any more; stop what is left over, and in time remove the run itself."""
    status, ttl = view.run.status, view.run.spec.ttl_seconds_after_finished
    if not status.finished:
        return None
    if ttl is None or status.completion_time is None:
        return Verdict(untouched=True, actions=_stop_jobs(view))
    end_of_life = status.completion_time + timedelta(seconds=ttl)
    if view.now >= end_of_life:
        return Verdict(untouched=True, actions=(DeleteRun(),))
    return Verdict(untouched=True, actions=_stop_jobs(view), look_again_at=end_of_life)


def _stop_jobs(view: View) -> tuple[Action, ...]:
    """Stop what may still run; one whose pod ended well is left to its Job controller, a moment behind."""
    left = [(f.status.name, f.job) for f in view.findings if f.job and not _ended_well(view, f)]
    # A report that is told to stop and does not: its pod is on a node that is lost.
    left += [(stage, job) for stage, job in view.observed.reports.items() if job.is_failing]
    return tuple(
        DeleteJob(stage, job.name, job.uid) for stage, job in left if not job.finished and not job.deleting
    )


def _ended_well(view: View, found: Finding) -> bool:
    pods = view.observed.pods.get(found.status.name, ())
    return found.status.state is StageState.SUCCEEDED or any(pod.has_succeeded for pod in pods)


def run_is_impossible(view: View) -> Verdict | None:
    """Fail what the API server let in although it can never work."""
    fault = view.run.fault
    return Verdict(failure=Cause(Reason.INVALID_SPEC, fault)) if fault else None


def stage_has_failed(view: View) -> Verdict | None:
    """Fail the run with its stage, and stop a Job that was given up."""
    found = view.current
    if found is None or found.status.state is not StageState.FAILED:
        return None
    cause = Cause(found.status.reason or Reason.INTERNAL_ERROR, found.status.message or "")
    return Verdict(failure=cause, actions=_stop_jobs(view), questions=found.questions)


def every_stage_has_succeeded(view: View) -> Verdict | None:
    """Call the run complete."""
    return Verdict(complete=True) if view.current is None else None


def run_is_suspended(view: View) -> Verdict | None:
    """Begin no stage, and pause the one that runs."""
    if not view.run.spec.suspend:
        return None
    found = view.current
    assert found is not None
    job, stage = found.job, _held(found.status)
    if job is None:
        return Verdict(suspended=True, stage=stage)
    if job.finished:
        return Verdict(suspended=True, stage=stage, look_again_at=found.look_again_at)
    if view.run.spec.queue_name:
        # Only Kueue may resume the Jobs of a queue, so that a held one is not paused but removed.
        stop = () if job.deleting else (DeleteJob(stage.name, job.name, job.uid),)
        return Verdict(suspended=True, stage=replace(stage, job_uid=None), actions=stop)
    if job.suspended:
        return Verdict(suspended=True)
    pause = SetJobSuspended(stage.name, job.name, suspended=True)
    return Verdict(suspended=True, stage=stage, actions=(pause,))


def _held(status: StageStatus) -> StageStatus:
    """Write down that a stage that was begun is held up."""
    if status.state is StageState.PENDING:
        return status
    return replace(status, state=StageState.SUSPENDED, reason=None, message=None)


def stage_has_lost_its_result(view: View) -> Verdict | None:
    """Have the result of a stage that is over told again; nothing is ever trained again for it."""
    found = view.current
    assert found is not None
    if not found.needs_report:
        return None
    stage = found.status.name
    create = CreateJob(stage, build_report(view.run, stage, view.defaults))
    return Verdict(actions=(create,), look_again_at=found.look_again_at)


def stage_has_no_job(view: View) -> Verdict | None:
    """Begin the next stage."""
    found = view.current
    assert found is not None
    if found.job is not None:
        return None
    run, stage = view.run, found.status.name
    resolved = view.dataset.get("resolvedPath")
    body = build_job(run, stage, view.defaults, None if resolved is None else str(resolved))
    return Verdict(
        stage=found.status if _is_still_refused(view, found.status) else _begun(view, found.status),
        actions=(CreateJob(stage, body),),
        look_again_at=found.look_again_at,
        questions=_about_the_network(view, stage),
    )


def _is_still_refused(view: View, status: StageStatus) -> bool:
    """See that the stage waits for its Job to be let in; one whose Job is gone begins anew, and says so."""
    was_there = status.job_uid is not None and status.name not in view.observed.rejections
    return status.state is StageState.WAITING and not was_there


def _begun(view: View, status: StageStatus) -> StageStatus:
    name = view.run.job_name(status.name)
    gone = status.job_uid is not None
    return replace(
        status,
        state=StageState.STARTING,
        job_name=name,
        start_time=status.start_time or view.now,
        attempts=max(status.attempts, 1),
        reason=OperatorReason.RETRYING if gone else None,
        message=reasons.job_recreated(name) if gone else None,
    )


def _about_the_network(view: View, stage: Stage) -> tuple[Question, ...]:
    """Ask once for each run, before the stage begins that nobody may talk to."""
    question = network_question(view.run)
    known = question in view.observed.answers or view.run.status.condition(ConditionType.NETWORK_CLOSED)
    return () if known or stage is not Stage.QRUN else (question,)


def stage_is_paused(view: View) -> Verdict | None:
    """Resume the Job of a run that is no longer suspended."""
    found = view.current
    assert found is not None
    if found.job is None or not found.job.suspended or view.run.spec.queue_name:
        return None
    stage = replace(found.status, state=StageState.STARTING)
    return Verdict(stage=stage, actions=(SetJobSuspended(stage.name, found.job.name, suspended=False),))


def stage_is_under_way(view: View) -> Verdict | None:
    """Do nothing but say how far it is."""
    found = view.current
    assert found is not None
    return Verdict(look_again_at=found.look_again_at, questions=found.questions)


RULES: Final[tuple[Callable[[View], Verdict | None], ...]] = (
    run_is_being_deleted,
    run_has_finished,
    run_is_impossible,
    stage_has_failed,
    every_stage_has_succeeded,
    run_is_suspended,
    stage_has_lost_its_result,
    stage_has_no_job,
    stage_is_paused,
    stage_is_under_way,
)
"""Asked in this order; the last one always answers."""
