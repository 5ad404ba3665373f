"""What to do about a run: an ordered chain of rules, of which the first that applies decides.

Rules keep no state: they read the run, its Jobs and Pods, and the time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause
from qlib_shadow_operator.runs.choices import refusal
from qlib_shadow_operator.runs.conditions import network_query
from qlib_shadow_operator.runs.decisions import (
    CreateJob,
    DeleteJob,
    DeleteRun,
    RuleResult,
    RunView,
    SetJobSuspended,
)
from qlib_shadow_operator.runs.jobs import build_job, build_recovery_job
from qlib_shadow_operator.runs.names import ConditionType, StageState
from qlib_shadow_operator.runs.network_rule import labels_open_the_network
from qlib_shadow_operator.runs.outcomes import why_unchanged
from qlib_shadow_operator.runs.queries import FindJob, ReadJob
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import Reason, Stage
from qlib_shadow_runner.contract.stages import STAGES, pinned_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_operator.runs.decisions import Action
    from qlib_shadow_operator.runs.model import Job, StageStatus
    from qlib_shadow_operator.runs.queries import Query
    from qlib_shadow_operator.runs.stage_view import CheckResult


def run_is_being_deleted(view: RunView) -> RuleResult | None:
    """The run is being deleted: leave the rest to the garbage collector."""
    return RuleResult(keep_status=True) if view.run.deleting else None


def run_has_finished(view: RunView) -> RuleResult | None:
    """The run has finished: stop Jobs that are left, and delete old Jobs and the run after their TTL."""
    status, spec = view.run.status, view.run.spec
    if not status.finished:
        return None
    actions, end = _stop_jobs(view), status.completion_time
    if end is None:
        return RuleResult(keep_status=True, actions=actions)
    run_ends = _later(end, spec.ttl_seconds_after_finished)
    if run_ends and view.now >= run_ends:
        return RuleResult(keep_status=True, actions=(DeleteRun(),))
    jobs_end = _later(end, _first_given(spec.job_ttl_seconds, view.defaults.job_ttl_seconds))
    if jobs_end and view.now >= jobs_end:
        actions, jobs_end = (*actions, *_delete_finished_jobs(view)), None
    times = [time for time in (run_ends, jobs_end) if time]
    return RuleResult(keep_status=True, actions=actions, requeue_at=min(times, default=None))


def _first_given(chosen: int | None, default: int | None) -> int | None:
    """Return what the run has chosen, which may be 0, or else the default."""
    return default if chosen is None else chosen


def _later(end: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else end + timedelta(seconds=seconds)


def _delete_finished_jobs(view: RunView) -> tuple[Action, ...]:
    """Delete the Jobs and, with them, their pods; one that has not finished yet is deleted once it has."""
    found = [(one.status.name, one.job) for one in view.check_results if one.job]
    jobs = [*found, *view.observed.recovery_jobs.items()]
    return tuple(
        DeleteJob(stage, job.name, job.uid) for stage, job in jobs if job.finished and not job.deleting
    )


def _stop_jobs(view: RunView) -> tuple[Action, ...]:
    """Delete the Jobs of undone stages that may still run."""
    undone = [f for f in view.check_results if f.status.state is not StageState.SUCCEEDED]
    left = [(f.status.name, f.job) for f in undone if f.job and not _completes_by_itself(view, f)]
    # A recovery Job that fails but does not end has its pod on a lost node.
    left += [(stage, job) for stage, job in view.observed.recovery_jobs.items() if job.is_failing]
    return _delete(left)


def stop_repetitions(view: RunView) -> tuple[Action, ...]:
    """Delete the Jobs of succeeded stages that would run once more.

    A stage has succeeded when its container has, a moment before its Job is Complete. A queue that is drained
    in that moment suspends the Job, and would run it again later.
    """
    done = [f for f in view.check_results if f.status.state is StageState.SUCCEEDED]
    return _delete(
        [(f.status.name, f.job) for f in done if f.job and _runs_again(view, f.status.name, f.job)]
    )


def _delete(jobs: list[tuple[Stage, Job]]) -> tuple[Action, ...]:
    return tuple(
        DeleteJob(stage, job.name, job.uid) for stage, job in jobs if not job.finished and not job.deleting
    )


def _completes_by_itself(view: RunView, found: CheckResult) -> bool:
    pods = view.observed.pods.get(found.status.name, ())
    return any(pod.has_succeeded for pod in pods) and not (found.job and found.job.suspended)


def _runs_again(view: RunView, stage: Stage, job: Job) -> bool:
    return job.suspended or any(not pod.ended for pod in view.observed.pods.get(stage, ()))


def run_is_invalid(view: RunView) -> RuleResult | None:
    """The spec cannot work although the API server accepted it: the run fails."""
    fault = view.run.fault
    return RuleResult(failure=Cause(Reason.INVALID_SPEC, fault)) if fault else None


def job_is_unmarked(view: RunView) -> RuleResult | None:
    """The stage's Job is out of sight: look it up, and restore the labels or the owner that it has lost."""
    found = view.current
    if found is None:
        return None
    if found.marks_lost:
        stage = found.status.name
        return RuleResult(
            keep_status=stage not in view.observed.rejections,
            actions=(_create_job(view, stage),),
            requeue_at=found.requeue_at or _soon(view),
        )
    if found.job is not None:
        return None
    lookup = tuple(query for query in found.queries if isinstance(query, FindJob | ReadJob))
    return RuleResult(keep_status=True, queries=lookup) if lookup else None


def _soon(view: RunView) -> datetime:
    """Return when to look at a Job that was just made: no watch delivers one whose labels are removed."""
    return view.now + view.defaults.query_after


def _create_job(view: RunView, stage: Stage) -> CreateJob:
    resolved = pinned_path(view.run.question) or view.dataset.get("resolvedPath")
    path = None if resolved is None else str(resolved)
    body = build_job(view.run, stage, view.defaults, path, has_books=view.observed.has_books)
    return CreateJob(stage, body)


def run_is_not_allowed(view: RunView) -> RuleResult | None:
    """A Job has to be made for a run that chooses what the operator does not allow: the run fails.

    What was allowed when the stage's Job was made is read to its end; a recovery Job gets no Secret, account
    or variable.
    """
    found = view.current
    if found is None or found.status.finished or found.job is not None:
        return None
    sentence = refusal(view.run, view.defaults)
    return RuleResult(failure=Cause(OperatorReason.NOT_ALLOWED, sentence)) if sentence else None


def stage_has_failed(view: RunView) -> RuleResult | None:
    """A stage has failed: the run fails, and a Job that was given up is deleted."""
    found = view.current
    if found is None or found.status.state is not StageState.FAILED:
        return None
    cause = Cause(found.status.reason or Reason.INTERNAL_ERROR, found.status.message or "")
    return RuleResult(failure=cause, actions=_stop_jobs(view), queries=found.queries)


def every_stage_has_succeeded(view: RunView) -> RuleResult | None:
    """Every stage has succeeded: the run is complete."""
    return RuleResult(complete=True) if view.current is None else None


def run_is_suspended(view: RunView) -> RuleResult | None:
    """`spec.suspend` is true: start no stage, and suspend the running Job."""
    if not view.run.spec.suspend:
        return None
    found = view.current
    assert found is not None
    job, stage = found.job, _suspended_status(found.status)
    if job is None:
        return RuleResult(suspended=True, stage=stage)
    if job.finished:
        return RuleResult(suspended=True, stage=stage, requeue_at=found.requeue_at)
    if view.run.spec.queue_name:
        # Only Kueue may resume the Jobs of a queue, so the Job is deleted instead of suspended.
        stop = () if job.deleting else (DeleteJob(stage.name, job.name, job.uid),)
        return RuleResult(suspended=True, stage=replace(stage, job_uid=None), actions=stop)
    return RuleResult(suspended=True) if job.suspended else _suspend_job(view, found, job)


def _suspend_job(view: RunView, found: CheckResult, job: Job) -> RuleResult:
    """Suspend a Job; while the API server does not let it, the stage is told as it is."""
    stage = _suspended_status(found.status)
    pause = SetJobSuspended(stage.name, job.name, suspended=True)
    unchanged = why_unchanged(view.observed.rejections.get(stage.name), stage.name)
    if unchanged:
        stage = replace(found.status, reason=unchanged.reason, message=reasons.shorten(unchanged.message))
        return RuleResult(stage=stage, actions=(pause,), requeue_at=found.requeue_at)
    return RuleResult(suspended=True, stage=stage, actions=(pause,))


def _suspended_status(status: StageStatus) -> StageStatus:
    """Return the stage as Suspended if it was started."""
    if status.state is StageState.PENDING:
        return status
    return replace(status, state=StageState.SUSPENDED, reason=None, message=None)


def stage_result_is_missing(view: RunView) -> RuleResult | None:
    """Create the recovery Job for a finished stage whose result was lost. Never retrains."""
    found = view.current
    assert found is not None
    if not found.needs_recovery:
        return None
    stage = found.status.name
    create = CreateJob(stage, build_recovery_job(view.run, stage, view.defaults))
    return RuleResult(actions=(create,), requeue_at=found.requeue_at or _soon(view))


def stage_has_no_job(view: RunView) -> RuleResult | None:
    """The current stage has no Job: create it."""
    found = view.current
    assert found is not None
    if found.job is not None:
        return None
    stage = found.status.name
    return RuleResult(
        stage=found.status if _is_still_rejected(view, found.status) else _started_status(view, found.status),
        actions=(_create_job(view, stage),),
        requeue_at=found.requeue_at or _soon(view),
        queries=_network_queries(view, stage),
    )


def _is_still_rejected(view: RunView, status: StageStatus) -> bool:
    """Whether the stage still waits for its Job to be accepted; a deleted Job is recreated instead."""
    was_there = status.job_uid is not None and status.name not in view.observed.rejections
    was_asked_for = status.reason != OperatorReason.NETWORK_POLICY_UNREAD
    return status.state is StageState.WAITING and was_asked_for and not was_there


def _started_status(view: RunView, status: StageStatus) -> StageStatus:
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


def _network_queries(view: RunView, stage: Stage) -> tuple[Query, ...]:
    """Query once per run, before a stage without a network starts."""
    if not STAGES[stage].is_closed or view.run.status.condition(ConditionType.NETWORK_CLOSED):
        return ()
    closed = (one for one in view.run.stages if STAGES[one].is_closed)
    queries = (network_query(view.run, one, view.defaults) for one in closed)
    return tuple(query for query in queries if query not in view.observed.answers)


def stage_is_suspended(view: RunView) -> RuleResult | None:
    """The run is no longer suspended: resume the Job."""
    found = view.current
    assert found is not None
    if found.job is None or not found.job.suspended or view.run.spec.queue_name:
        return None
    waits = found.status.state is StageState.WAITING
    stage = found.status if waits else replace(found.status, state=StageState.STARTING)
    resume = SetJobSuspended(stage.name, found.job.name, suspended=False)
    return RuleResult(stage=stage, actions=(resume,), requeue_at=found.requeue_at)


def stage_is_in_progress(view: RunView) -> RuleResult | None:
    """The stage is in progress: only update the status."""
    found = view.current
    assert found is not None
    return RuleResult(requeue_at=found.requeue_at, queries=found.queries)


RULES: Final[tuple[Callable[[RunView], RuleResult | None], ...]] = (
    run_is_being_deleted,
    run_has_finished,
    run_is_invalid,
    job_is_unmarked,
    stage_has_failed,
    every_stage_has_succeeded,
    run_is_not_allowed,
    labels_open_the_network,
    run_is_suspended,
    stage_result_is_missing,
    stage_has_no_job,
    stage_is_suspended,
    stage_is_in_progress,
)
"""In this order; the last one always applies."""
