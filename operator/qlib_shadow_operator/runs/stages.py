"""Where one stage is: a chain of checks over its Job and Pods; the first that applies answers.

What the status once called finished stays so, whatever becomes of the Job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed, why_no_pod, why_starting, why_waiting
from qlib_shadow_operator.runs.jobs import active_deadline_seconds
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.outcomes import (
    cause_was_lost,
    pod_has_succeeded,
    queued,
    result_was_lost,
    why_rejected,
)
from qlib_shadow_operator.runs.questions import IsJobThere, WhichPodsAreThere
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.runs.sight import (
    Finding,
    Inquiry,
    Sight,
    advance,
    failed,
    given_up,
    inquire,
    patient,
    retry_cause,
    since,
    waiting,
)
from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Job, Observed, Pod, Run, StageStatus

STAGES: Final = tuple(Stage)
"""In the order in which they run."""
REFUSALS: Final = frozenset({OperatorReason.QUOTA_EXCEEDED, OperatorReason.POD_REFUSED})
"""Why a Job has no pod."""
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
"""What the Job controller calls it."""
RECREATIONS_MAX: Final = 1
"""How often a Job that was deleted by hand is made again."""


def find(run: Run, observed: Observed, stage: Stage, defaults: Defaults, now: datetime) -> Finding:
    """Look at one stage."""
    sight = Sight(
        run=run,
        stage=stage,
        past=run.status.stage(stage),
        job=observed.jobs.get(stage),
        pods=observed.pods.get(stage, ()),
        report=observed.reports.get(stage),
        report_pods=observed.report_pods.get(stage, ()),
        rejection=observed.rejections.get(stage),
        answers=observed.answers,
        defaults=defaults,
        now=now,
    )
    finding = next(found for check in CHECKS if (found := check(sight)))
    # A pod that was told to end may be silent for ever: then time alone has something to say.
    looks = [*sight.ends_due, *([finding.look_again_at] if finding.look_again_at else [])]
    return replace(finding, job=sight.job, look_again_at=min(looks, default=None))


def is_already_finished(sight: Sight) -> Finding | None:
    """See that it is history, which does not change when Jobs are cleaned away."""
    return Finding(sight.past) if sight.past.finished else None


def job_was_deleted_again(sight: Sight) -> Finding | None:
    """See that somebody deletes Jobs faster than they end; a Job that was never seen was never made."""
    if sight.job is not None or sight.past.job_uid is None or sight.past.recreations < RECREATIONS_MAX:
        return None
    name = sight.run.job_name(sight.stage)
    text = reasons.job_deleted(name, sight.past.recreations + 1)
    question = IsJobThere(name)
    asked = () if question in sight.answers else (question,)
    return replace(failed(sight, Cause(OperatorReason.JOB_DELETED, text)), questions=asked)


def job_is_absent(sight: Sight) -> Finding | None:
    """See that no Job was made yet, or that it was refused, or that somebody deleted it."""
    if sight.job is not None:
        return None
    cause = why_rejected(sight)
    if cause is None or sight.rejection is None:
        return Finding(sight.past)
    if sight.rejection.hopeless:
        return failed(sight, cause, log=False)
    return waiting(sight, cause)


def job_is_failed(sight: Sight) -> Finding | None:
    """See that the Job controller gave up."""
    job = sight.job
    if job is None or not job.is_failed:
        return None
    if job.failure_reason == DEADLINE_EXCEEDED:
        stuck = sight.past.message if sight.past.reason == OperatorReason.POD_DOES_NOT_END else None
        return failed(sight, _deadline_cause(sight, stuck))
    if sight.last_ended is None:
        return patient(sight, job) or cause_was_lost(sight, job)
    return failed(sight, why_failed(sight.last_ended, sight.run, sight.stage))


def _deadline_cause(sight: Sight, stuck: str | None) -> Cause:
    seconds = active_deadline_seconds(sight.run, sight.stage, sight.defaults)
    never_started = sight.past.message if sight.past.state is StageState.WAITING else None
    if stuck:
        text = reasons.deadline_exceeded_by_pod(sight.stage, seconds, stuck)
    else:
        text = reasons.deadline_exceeded(sight.stage, seconds, never_started)
    return Cause(OperatorReason.DEADLINE_EXCEEDED, text)


def job_is_failing(sight: Sight) -> Finding | None:
    """See that the Job controller will give up once the pods have ended; nothing is said until it has.

    Unless they do not end: it would wait for them for ever.
    """
    job = sight.job
    if job is None or not job.is_failing:
        return None
    if not sight.does_not_end:
        return Finding(sight.past)
    cause = _stuck(sight)
    if job.failure_reason == DEADLINE_EXCEEDED:
        cause = _deadline_cause(sight, cause.message)
    return failed(sight, cause)


def _stuck(sight: Sight) -> Cause:
    pod = sight.newest
    assert pod is not None
    text = reasons.pod_does_not_end(pod.name, pod.node, sight.run.namespace)
    return Cause(OperatorReason.POD_DOES_NOT_END, text)


def attempt_has_vanished(sight: Sight) -> Finding | None:
    """See that a pod ran that nobody sees; another operator's look may be ahead of this one's cache."""
    question = WhichPodsAreThere(sight.stage)
    if not sight.attempt_vanished or question in sight.answers:
        return None
    return Finding(sight.past, questions=(question,))


def job_is_suspended(sight: Sight) -> Finding | None:
    """See that the run, or a queue, holds the Job back; no patience runs out meanwhile."""
    if sight.job is None or not sight.job.suspended:
        return None
    if sight.run.spec.queue_name:
        return Finding(advance(sight, StageState.WAITING, queued(sight)))
    return Finding(advance(sight, StageState.SUSPENDED))


def pod_does_not_end(sight: Sight) -> Finding | None:
    """See that the attempt is over for everybody but its node; the Job's deadline ends the wait."""
    return Finding(advance(sight, StageState.WAITING, _stuck(sight))) if sight.does_not_end else None


def pod_is_running(sight: Sight) -> Finding | None:
    """See that the stage is at work."""
    pod = sight.newest
    if pod is None or pod.ended or pod.running_since is None:
        return None
    return Finding(advance(sight, StageState.RUNNING, retry_cause(sight)))


def pod_cannot_start(sight: Sight) -> Finding | None:
    """See what has a name that the pod waits for."""
    pod = sight.newest
    if pod is None or pod.ended:
        return None
    cause = why_waiting(pod, sight.run, sight.stage, sight.claim)
    if cause is None:
        return None
    return failed(sight, cause, log=False) if cause.hopeless else waiting(sight, cause, pod.created_at)


def pod_is_starting(sight: Sight) -> Finding | None:
    """See that there is a pod, and that it is on its way."""
    pod = sight.newest
    if pod is None or pod.ended:
        return None
    inquiry = inquire(sight, pod.uid, pod.created_at, pod.created_at)
    if inquiry.trouble:
        return _troubled(sight, why_starting(inquiry.trouble, sight.claim), inquiry, pod.created_at)
    limit = pod.created_at + sight.defaults.start_timeout
    if sight.now >= limit:
        cause = Cause(OperatorReason.START_TIMED_OUT, reasons.starting_slowly())
        return replace(given_up(sight, cause), questions=inquiry.questions)
    status = _without_small_news(sight, advance(sight, StageState.STARTING, retry_cause(sight)))
    return Finding(status, look_again_at=min(limit, inquiry.again_at), questions=inquiry.questions)


def pod_is_absent(sight: Sight) -> Finding | None:
    """See that the Job controller is about to make a pod, or to say that it will make no more."""
    pod, job = sight.newest, sight.job
    assert job is not None
    # Whether the last attempt was the last one is not known yet, so nothing new is said of it.
    is_known = pod is not None and not _is_older_than_the_attempt(pod, sight)
    status = sight.past
    if not is_known:
        status = _without_small_news(sight, advance(sight, StageState.STARTING, retry_cause(sight)))
    # Not from the Job's times alone: its pod may have vanished after hours, or it was paused for days.
    begun = max(since(sight, status), job.started_at or job.created_at)
    if pod:
        begun = max(begun, _end_of(pod, sight))
    inquiry = _inquire_about_absence(sight, job, begun)
    if inquiry.trouble:
        return _troubled(sight, why_no_pod(inquiry.trouble, sight.run, sight.stage), inquiry)
    limit = begun + sight.defaults.start_timeout
    if sight.now >= limit:
        cause = Cause(OperatorReason.NO_POD, reasons.no_pod(job.name, sight.run.namespace))
        return replace(given_up(sight, cause), questions=inquiry.questions)
    return Finding(status, look_again_at=min(limit, inquiry.again_at), questions=inquiry.questions)


def _without_small_news(sight: Sight, status: StageStatus) -> StageStatus:
    """Leave a new Job's uid to be written with what comes next: most pods start before anybody wonders."""
    is_new = sight.job is not None and sight.now < sight.job.created_at + sight.defaults.ask_after
    return replace(status, job_uid=None) if is_new and sight.past.job_uid is None else status


def _is_older_than_the_attempt(pod: Pod, sight: Sight) -> bool:
    """See that the attempt that the status tells of is a later one, whose pod is gone already."""
    begun = sight.past.last_transition_time
    return sight.past.state is StageState.RUNNING and begun is not None and _end_of(pod, sight) < begun


def _end_of(pod: Pod, sight: Sight) -> datetime:
    return (pod.termination and pod.termination.finished_at) or sight.now


def _inquire_about_absence(sight: Sight, job: Job, begun: datetime) -> Inquiry:
    """Give a new Job a moment, but ask at once where it is known that pods are refused."""
    past, pod = sight.past, sight.newest
    known = past.state is StageState.WAITING and past.reason in REFUSALS and past.job_uid == job.uid
    if known and past.last_transition_time:
        begun = past.last_transition_time - sight.defaults.ask_after
    return inquire(sight, job.uid, begun, _end_of(pod, sight) if pod else job.started_at or job.created_at)


def _troubled(sight: Sight, cause: Cause, inquiry: Inquiry, begun: datetime | None = None) -> Finding:
    found = waiting(sight, cause, begun)
    again = min(found.look_again_at, inquiry.again_at) if found.look_again_at else None
    return replace(found, look_again_at=again)


CHECKS: Final[tuple[Callable[[Sight], Finding | None], ...]] = (
    is_already_finished,
    job_was_deleted_again,
    job_is_absent,
    pod_has_succeeded,
    result_was_lost,
    job_is_failed,
    job_is_failing,
    job_is_suspended,
    attempt_has_vanished,
    pod_does_not_end,
    pod_is_running,
    pod_cannot_start,
    pod_is_starting,
    pod_is_absent,
)
"""Asked in this order; the last one always answers."""
