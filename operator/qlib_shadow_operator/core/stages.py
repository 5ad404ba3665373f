"""Where one stage is: a chain of checks over its Job and Pods; the first that applies answers.

What the status once called finished stays so, whatever becomes of the Job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.core import reasons
from qlib_shadow_operator.core.causes import Cause, why_failed, why_waiting
from qlib_shadow_operator.core.jobs import active_deadline_seconds
from qlib_shadow_operator.core.names import StageState
from qlib_shadow_operator.core.reasons import OperatorReason
from qlib_shadow_operator.core.result import TEXT_MAX, MalformedResultError, StageResult, parse_result
from qlib_shadow_runner.contract import Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_operator.core.defaults import Defaults
    from qlib_shadow_operator.core.model import Job, Observed, Pod, Rejection, Run, StageStatus

STAGES: Final = tuple(Stage)
"""In the order in which they run."""


@dataclass(frozen=True)
class Sight:
    """Everything that is looked at for one stage."""

    run: Run
    stage: Stage
    past: StageStatus
    job: Job | None
    pods: tuple[Pod, ...]
    rejection: Rejection | None
    defaults: Defaults
    now: datetime

    @property
    def newest(self) -> Pod | None:
        """The latest attempt."""
        return max(self.pods, key=lambda pod: (pod.created_at, pod.name), default=None)

    @property
    def last_ended(self) -> Pod | None:
        """The latest attempt that is over."""
        return max(
            (p for p in self.pods if p.ended), key=lambda pod: (pod.created_at, pod.name), default=None
        )

    @property
    def claim(self) -> str:
        """The volume's claim."""
        return self.run.spec.claim_name or self.defaults.claim_name


@dataclass(frozen=True)
class Finding:
    """What was found: the stage's new status, its result if there is one, and when time alone changes it."""

    status: StageStatus
    job: Job | None = None
    result: StageResult | None = None
    image_id: str | None = None
    look_again_at: datetime | None = None


def find(run: Run, observed: Observed, stage: Stage, defaults: Defaults, now: datetime) -> Finding:
    """Look at one stage."""
    sight = Sight(
        run=run,
        stage=stage,
        past=run.status.stage(stage),
        job=observed.jobs.get(stage),
        pods=observed.pods.get(stage, ()),
        rejection=observed.rejections.get(stage),
        defaults=defaults,
        now=now,
    )
    finding = next(found for check in CHECKS if (found := check(sight)))
    return replace(finding, job=sight.job)


def is_already_finished(sight: Sight) -> Finding | None:
    """See that it is history, which does not change when Jobs are cleaned away."""
    return Finding(sight.past) if sight.past.finished else None


def job_is_absent(sight: Sight) -> Finding | None:
    """See that no Job was made yet, or that it was refused, or that somebody deleted it."""
    if sight.job is not None:
        return None
    if sight.rejection is None:
        return Finding(sight.past)
    cause = Cause(OperatorReason.JOB_REJECTED, reasons.job_rejected(sight.rejection.message))
    if sight.rejection.hopeless:
        return _failed(sight, cause, log=False)
    return _waiting(sight, cause, _since(sight, StageState.WAITING, cause.reason))


def pod_has_succeeded(sight: Sight) -> Finding | None:
    """See that the stage is done, and with what; the Job's own word comes about a second later."""
    done = [pod for pod in sight.pods if pod.has_succeeded]
    return _read_result(sight, max(done, key=lambda pod: pod.created_at)) if done else None


def job_is_complete(sight: Sight) -> Finding | None:
    """See that the stage is done, but not the pod that could tell with what."""
    if sight.job is None or not sight.job.is_complete:
        return None
    cause = Cause(Reason.RESULT_MISSING, reasons.result_missing(sight.stage))
    return _patient(sight) or _failed(sight, cause)


def _read_result(sight: Sight, pod: Pod) -> Finding:
    assert pod.termination is not None
    try:
        result = parse_result(pod.termination.message, stage=sight.stage, uid=sight.run.uid)
        _check_success(sight.stage, result)
    except MalformedResultError as error:
        message = reasons.result_malformed(sight.stage, str(error))
        return _failed(sight, Cause(OperatorReason.RESULT_MALFORMED, message))
    status = _advance(sight, StageState.SUCCEEDED, Cause(Reason.SUCCEEDED, result.message))
    return Finding(
        replace(status, completion_time=_ended_at(sight)),
        result=result,
        image_id=reasons.shorten(pod.image_id, TEXT_MAX) or None,
    )


def _check_success(stage: Stage, result: StageResult) -> None:
    if not result.succeeded:
        raise MalformedResultError(f"its exit code is 0 but its reason is {result.reason}")
    if stage is Stage.DOWNLOAD:
        resolved = result.dataset.get("resolvedPath")
        if not isinstance(resolved, str) or not resolved.startswith("/data/") or ".." in resolved.split("/"):
            raise MalformedResultError("its dataset.resolvedPath is not a path under /data")


def job_is_failed(sight: Sight) -> Finding | None:
    """See that the Job controller gave up."""
    job = sight.job
    if job is None or not job.is_failed:
        return None
    if job.failure_reason == "DeadlineExceeded":
        return _failed(sight, _deadline_cause(sight))
    if sight.last_ended is None:
        cause = Cause(OperatorReason.JOB_FAILED, reasons.job_failed(job.failure_reason, job.failure_message))
        return _patient(sight) or _failed(sight, cause)
    return _failed(sight, why_failed(sight.last_ended, sight.run, sight.stage))


def _deadline_cause(sight: Sight) -> Cause:
    never_started = sight.past.message if sight.past.state is StageState.WAITING else None
    seconds = active_deadline_seconds(sight.run, sight.stage, sight.defaults)
    return Cause(
        OperatorReason.DEADLINE_EXCEEDED, reasons.deadline_exceeded(sight.stage, seconds, never_started)
    )


def job_is_suspended(sight: Sight) -> Finding | None:
    """See that somebody, or a queue, holds the Job back."""
    if sight.job is None or not sight.job.suspended:
        return None
    return Finding(_advance(sight, StageState.SUSPENDED))


def pod_is_running(sight: Sight) -> Finding | None:
    """See that the stage is at work."""
    pod = sight.newest
    if pod is None or pod.ended or pod.running_since is None:
        return None
    return Finding(_advance(sight, StageState.RUNNING, _retry_cause(sight)))


def pod_cannot_start(sight: Sight) -> Finding | None:
    """See what has a name that the pod waits for."""
    pod = sight.newest
    if pod is None or pod.ended:
        return None
    cause = why_waiting(pod, sight.stage, sight.claim, sight.run.namespace)
    if cause is None:
        return None
    return _failed(sight, cause, log=False) if cause.hopeless else _waiting(sight, cause, pod.created_at)


def pod_is_starting(sight: Sight) -> Finding | None:
    """See that there is a pod, and that it is on its way."""
    pod = sight.newest
    if pod is None or pod.ended:
        return None
    limit = pod.created_at + sight.defaults.start_timeout
    if sight.now >= limit:
        return _given_up(sight, Cause(OperatorReason.START_TIMED_OUT, reasons.starting_slowly()))
    return Finding(_advance(sight, StageState.STARTING, _retry_cause(sight)), look_again_at=limit)


def pod_is_absent(sight: Sight) -> Finding | None:
    """See that the Job controller is about to make a pod, or to say that it will make no more."""
    pod, job = sight.newest, sight.job
    assert job is not None
    # Whether the last attempt was the last one is not known yet, so nothing new is said of it.
    status = sight.past if pod else _advance(sight, StageState.STARTING)
    # Not from the Job's times alone: its pod may have vanished after hours, or it was paused for days.
    since = max(_since(sight, status.state, status.reason), job.started_at or job.created_at)
    if pod:
        since = max(since, (pod.termination and pod.termination.finished_at) or sight.now)
    limit = since + sight.defaults.start_timeout
    if sight.now >= limit:
        return _given_up(sight, Cause(OperatorReason.NO_POD, reasons.no_pod(job.name, sight.run.namespace)))
    return Finding(status, look_again_at=limit)


CHECKS: Final[tuple[Callable[[Sight], Finding | None], ...]] = (
    is_already_finished,
    job_is_absent,
    pod_has_succeeded,
    job_is_complete,
    job_is_failed,
    job_is_suspended,
    pod_is_running,
    pod_cannot_start,
    pod_is_starting,
    pod_is_absent,
)
"""Asked in this order; the last one always answers."""


def _advance(sight: Sight, state: StageState, cause: Cause | None = None) -> StageStatus:
    job = sight.job
    return replace(
        sight.past,
        state=state,
        job_name=sight.run.job_name(sight.stage),
        attempts=_attempts(sight),
        start_time=sight.past.start_time or (job.created_at if job else sight.now),
        reason=cause.reason if cause else None,
        message=reasons.shorten(cause.message) if cause else None,
    )


def _attempts(sight: Sight) -> int:
    job = sight.job
    # A Job has begun its first attempt before anybody sees the pod.
    counted = max(job.active + job.succeeded + job.failed, 1) if job else 0
    return max(sight.past.attempts, len(sight.pods), counted)


def _since(sight: Sight, state: StageState, reason: str | None) -> datetime:
    """Say since when the stage has been in a state for a reason; now, if it is about to be."""
    past = sight.past
    same = (past.state, past.reason) == (state, reason)
    return (past.last_transition_time if same else None) or sight.now


def _waiting(sight: Sight, cause: Cause, since: datetime) -> Finding:
    limit = since + sight.defaults.start_timeout
    if sight.now >= limit:
        return _given_up(sight, cause)
    return Finding(_advance(sight, StageState.WAITING, cause), look_again_at=limit)


def _given_up(sight: Sight, cause: Cause) -> Finding:
    seconds = int(sight.defaults.start_timeout.total_seconds())
    return _failed(sight, Cause(cause.reason, reasons.timed_out(seconds, cause.message)), log=False)


def _failed(sight: Sight, cause: Cause, *, log: bool = True) -> Finding:
    message = cause.message
    if log and "Log:" not in message:
        place = reasons.log_place(
            sight.run.artifact_path, sight.run.job_name(sight.stage), sight.run.namespace
        )
        message = reasons.sentences(message, place)
    status = _advance(sight, StageState.FAILED, Cause(cause.reason, message))
    return Finding(replace(status, completion_time=_ended_at(sight)))


def _ended_at(sight: Sight) -> datetime:
    return (sight.job and sight.job.ended_at) or sight.now


def _patient(sight: Sight) -> Finding | None:
    """Wait a little for the news of a pod, which may come after that of its Job."""
    limit = _ended_at(sight) + sight.defaults.result_patience
    if sight.now >= limit or (sight.job and sight.job.ended_at is None):
        return None
    return Finding(sight.past, look_again_at=limit)


def _retry_cause(sight: Sight) -> Cause | None:
    before = sight.last_ended
    if before is None:
        return None  # the first attempt
    cause = why_failed(before, sight.run, sight.stage)
    text = reasons.retrying(_attempts(sight), cause.reason, cause.message)
    return Cause(OperatorReason.RETRYING, text)
