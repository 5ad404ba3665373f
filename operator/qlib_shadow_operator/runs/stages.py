"""Determine the state of one stage by an ordered list of checks; the first that applies answers.

A stage that the status calls finished stays finished, whatever happens to its Job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons, start_reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed, why_starting, why_waiting
from qlib_shadow_operator.runs.evictions import is_ignored_by_its_job
from qlib_shadow_operator.runs.missing_pod import pod_is_absent
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.outcomes import (
    failure_cause_is_missing,
    pod_has_succeeded,
    queued,
    result_is_missing,
    why_rejected,
    why_unchanged,
)
from qlib_shadow_operator.runs.podspec import active_deadline_seconds
from qlib_shadow_operator.runs.queries import NO_WARNING_LIFETIME, FindJob, FindPods, ReadJob
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.runs.stage_view import (
    CheckResult,
    StageView,
    check_startup,
    failed,
    known_cause,
    latest_pod,
    next_status,
    retry_cause,
    start_timed_out,
    wait_for_pod_update,
    waiting_for,
    waiting_on_warning,
    without_minor_changes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Observed, Run, StageStatus
    from qlib_shadow_runner.contract import Stage

DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
"""The Job controller's reason for a passed deadline."""
RECREATIONS_MAX: Final = 1
"""How often a Job that was deleted by hand is recreated."""


def check_stage(run: Run, observed: Observed, stage: Stage, defaults: Defaults, now: datetime) -> CheckResult:
    """Return the result of the first check that applies to a stage."""
    view = StageView(
        run=run,
        stage=stage,
        previous=run.status.stage(stage),
        job=observed.jobs.get(stage),
        pods=observed.pods.get(stage, ()),
        recovery_job=observed.recovery_jobs.get(stage),
        recovery_pods=observed.recovery_pods.get(stage, ()),
        rejection=observed.rejections.get(stage),
        answers=observed.answers,
        defaults=defaults,
        now=now,
    )
    checked = next(found for check in CHECKS if (found := check(view)))
    # A pod that was told to stop may never report it, so its deadline must wake the run.
    looks = [*view.end_deadlines, *([checked.requeue_at] if checked.requeue_at else [])]
    unwatched = view.pod_is_out_of_sight or view.jobs_out_of_sight
    if unwatched and not checked.status.finished:
        looks.append(now + NO_WARNING_LIFETIME * defaults.query_after)
    return replace(checked, job=view.job, requeue_at=min(looks, default=None))


def is_already_finished(view: StageView) -> CheckResult | None:
    """The status says that the stage has finished. That never changes, even if its Job is deleted."""
    return CheckResult(view.previous) if view.previous.finished else None


def job_is_not_watched(view: StageView) -> CheckResult | None:
    """The labels of a Job were removed and could not be restored, so it is read each time."""
    reads = (ReadJob(job.name) for job in view.jobs_out_of_sight)
    queries = tuple(query for query in reads if query not in view.answers)
    return CheckResult(view.previous, queries=queries) if queries else None


def job_is_out_of_sight(view: StageView) -> CheckResult | None:
    """The Job is missing from the cache; it is looked up, because its labels may have been removed."""
    if view.job is not None or view.previous.job_uid is None:
        return None
    query = FindJob(view.run.job_name(view.stage))
    if query not in view.answers:
        return CheckResult(view.previous, queries=(query,))
    if not view.answers[query]:
        return None
    read = ReadJob(query.name)
    if why_rejected(view) and read not in view.answers:  # its marks cannot be restored now
        return CheckResult(view.previous, queries=(read,))
    return CheckResult(view.previous, marks_lost=True)


def pod_is_out_of_sight(view: StageView) -> CheckResult | None:
    """A pod is missing from the cache; it is looked up, because its labels may have been removed."""
    query = FindPods(view.stage)
    is_missing = view.attempt_vanished or view.pod_is_hidden or view.pod_is_out_of_sight
    return CheckResult(view.previous, queries=(query,)) if is_missing and query not in view.answers else None


def job_was_deleted_again(view: StageView) -> CheckResult | None:
    """The Job was deleted again after it was recreated; the stage fails."""
    if view.job is not None or view.previous.job_uid is None or view.previous.recreations < RECREATIONS_MAX:
        return None
    name = view.run.job_name(view.stage)
    text = reasons.job_deleted(name, view.previous.recreations + 1)
    return failed(view, Cause(OperatorReason.JOB_DELETED, text))


def job_is_absent(view: StageView) -> CheckResult | None:
    """The Job does not exist: it was not created yet, was refused, or was deleted."""
    if view.job is not None:
        return None
    cause = why_rejected(view)
    if cause is None or view.rejection is None:
        return CheckResult(view.previous)
    if view.rejection.permanent:
        return failed(view, cause, log=False)
    waiting = waiting_for(view, cause)
    return replace(waiting, status=_of_a_refused_job(view.previous, waiting.status))


def _of_a_refused_job(previous: StageStatus, status: StageStatus) -> StageStatus:
    """Note that the deleted Job was recreated, and refused: after a restart only the status says so."""
    is_second = previous.job_uid is not None
    return replace(status, job_uid=None, recreations=previous.recreations + (1 if is_second else 0))


def job_is_failed(view: StageView) -> CheckResult | None:
    """The Job has failed."""
    job = view.job
    if job is None or not job.is_failed:
        return None
    if job.failure_reason == DEADLINE_EXCEEDED:
        stuck = view.previous.message if view.previous.reason == OperatorReason.POD_DOES_NOT_END else None
        has_begun = view.previous.state is not StageState.WAITING or view.previous.attempts > 1 or bool(stuck)
        return failed(view, _deadline_cause(view, stuck), log=has_begun)
    if view.last_ended_pod is None:
        return wait_for_pod_update(view, job) or failure_cause_is_missing(view, job)
    cause = why_failed(view.last_ended_pod, view.run, view.stage)
    return failed(view, cause, log=cause.reason != OperatorReason.CONTAINER_CANNOT_START)


def _deadline_cause(view: StageView, stuck: str | None) -> Cause:
    seconds = active_deadline_seconds(view.run, view.stage, view.defaults)
    waits = view.previous.state is StageState.WAITING and view.previous.reason != OperatorReason.BACK_OFF
    never_started = view.previous.message if waits else None
    if stuck:
        text = reasons.deadline_exceeded_by_pod(view.stage, seconds, stuck)
    else:
        text = reasons.deadline_exceeded(view.stage, seconds, never_started)
    return Cause(OperatorReason.DEADLINE_EXCEEDED, text)


def job_is_failing(view: StageView) -> CheckResult | None:
    """The Job will fail once its pods have stopped; the status stays until then.

    A pod that does not stop would be waited for without end, so the stage then fails without it.
    """
    job = view.job
    if job is None or not job.is_failing:
        return None
    if not view.pod_is_stuck:
        return CheckResult(view.previous)
    cause = _stuck_pod_cause(view)
    if job.failure_reason == DEADLINE_EXCEEDED:
        cause = _deadline_cause(view, cause.message)
    return failed(view, cause)


def _stuck_pod_cause(view: StageView) -> Cause:
    pod = view.newest_pod
    assert pod is not None
    text = reasons.pod_does_not_end(pod.name, pod.node, view.run.namespace)
    return Cause(OperatorReason.POD_DOES_NOT_END, text)


def storage_is_outgrown_again(view: StageView) -> CheckResult | None:
    """The pods outgrew their own storage more often than the stage is retried; the stage fails.

    The Job itself ignores such a pod if it ended with the exit code of a deleted one.
    """
    job = view.job
    ignored = tuple(pod for pod in view.pods if is_ignored_by_its_job(pod, view.stage))
    if job is None or job.retries is None or not ignored or job.failed + len(ignored) <= job.retries:
        return None
    last = latest_pod(ignored)
    assert last is not None
    return failed(view, why_failed(last, view.run, view.stage))


def job_is_suspended(view: StageView) -> CheckResult | None:
    """The Job is suspended by the run or by Kueue; no start timeout counts meanwhile."""
    if view.job is None or not view.job.suspended:
        return None
    if view.run.spec.queue_name:
        status = next_status(view, StageState.WAITING, queued(view))
        return CheckResult(status) if view.job.has_queue else _queue_is_lost(view, status)
    unchanged = why_unchanged(view.rejection, view.stage)
    if unchanged and not view.run.spec.suspend:
        return waiting_for(view, unchanged)
    return CheckResult(next_status(view, StageState.SUSPENDED))


def _queue_is_lost(view: StageView, status: StageStatus) -> CheckResult:
    """Return a stage whose Job needs its queue's label back, without which Kueue never admits it."""
    cause = why_rejected(view)
    found = waiting_for(view, cause) if cause else CheckResult(status)
    return replace(found, marks_lost=not found.status.finished)


def pod_does_not_end(view: StageView) -> CheckResult | None:
    """The pod was told to stop but has not; the Job's deadline limits the wait."""
    return (
        CheckResult(next_status(view, StageState.WAITING, _stuck_pod_cause(view)))
        if view.pod_is_stuck
        else None
    )


def pod_is_running(view: StageView) -> CheckResult | None:
    """The container is running."""
    pod = view.newest_pod
    if pod is None or pod.ended or pod.running_since is None:
        return None
    return CheckResult(next_status(view, StageState.RUNNING, retry_cause(view)))


def pod_cannot_start(view: StageView) -> CheckResult | None:
    """The pod waits for a known cause, such as an image pull."""
    pod = view.newest_pod
    if pod is None or pod.ended:
        return None
    cause = why_waiting(pod, view.run, view.stage, view.claim)
    if cause is None:
        return None
    return failed(view, cause, log=False) if cause.permanent else waiting_for(view, cause, pod.created_at)


def pod_is_starting(view: StageView) -> CheckResult | None:
    """The pod exists and is starting."""
    pod = view.newest_pod
    if pod is None or pod.ended:
        return None
    startup = check_startup(view, pod.uid, pod.created_at, pod.created_at)
    if startup.warning_event:
        return waiting_on_warning(
            view,
            why_starting(startup.warning_event, view.run, view.stage, view.claim, pod),
            startup,
            pod.created_at,
        )
    if known := known_cause(view, startup):
        return waiting_on_warning(view, known, startup, pod.created_at)
    limit = pod.created_at + view.defaults.start_timeout
    if view.now >= limit:
        cause = Cause(
            OperatorReason.START_TIMED_OUT, start_reasons.starting_slowly(pod.name, view.run.namespace)
        )
        return replace(start_timed_out(view, cause), queries=startup.queries)
    status = without_minor_changes(view, next_status(view, StageState.STARTING, retry_cause(view)))
    return CheckResult(status, requeue_at=min(limit, startup.again_at), queries=startup.queries)


CHECKS: Final[tuple[Callable[[StageView], CheckResult | None], ...]] = (
    is_already_finished,
    job_is_not_watched,
    job_is_out_of_sight,
    job_was_deleted_again,
    job_is_absent,
    pod_is_out_of_sight,
    pod_has_succeeded,
    result_is_missing,
    job_is_failed,
    job_is_failing,
    storage_is_outgrown_again,
    job_is_suspended,
    pod_does_not_end,
    pod_is_running,
    pod_cannot_start,
    pod_is_starting,
    pod_is_absent,
)
"""In this order; the last one always applies."""
