"""What is looked at for one stage, what can be found, and how a finding is written down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.questions import Answers, WhyNotStarting, good_for
from qlib_shadow_operator.runs.reasons import OperatorReason

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Job, Pod, Rejection, Run, StageStatus
    from qlib_shadow_operator.runs.questions import Question, Trouble
    from qlib_shadow_operator.runs.result import StageResult
    from qlib_shadow_runner.contract import Stage

END_PATIENCE: Final = 3
"""How long a node may take to report an end that is due, in times of `ask_after`."""


@dataclass(frozen=True)
class Sight:
    """Everything that is looked at for one stage."""

    run: Run
    stage: Stage
    past: StageStatus
    job: Job | None
    pods: tuple[Pod, ...]
    report: Job | None
    report_pods: tuple[Pod, ...]
    rejection: Rejection | None
    answers: Answers
    defaults: Defaults
    now: datetime

    @property
    def newest(self) -> Pod | None:
        """The latest attempt."""
        return latest(self.pods)

    @property
    def last_ended(self) -> Pod | None:
        """The latest attempt that is over."""
        return latest(tuple(pod for pod in self.pods if pod.ended))

    @property
    def claim(self) -> str:
        """The volume's claim."""
        return self.run.spec.claim_name or self.defaults.claim_name

    @property
    def is_due(self) -> bool:
        """The Job controller makes a pod as soon as there is none."""
        job = self.job
        return job is not None and not (job.finished or job.is_failing or job.suspended or job.active)

    @property
    def attempt_vanished(self) -> bool:
        """The status says that a pod runs, and there is none: it was deleted, or went with its node."""
        job, pod = self.job, self.newest
        if job is None or job.finished or job.suspended or job.uid != self.past.job_uid:
            return False
        is_gone = pod is None or not (pod.ended or pod.running_since)
        ran = self.past.state is StageState.RUNNING or self.past.reason == OperatorReason.POD_DOES_NOT_END
        return is_gone and ran

    @property
    def does_not_end(self) -> bool:
        """The latest attempt was told to end, and its node does not say that it has."""
        return self._is_overdue(self.pods)

    @property
    def report_is_over(self) -> bool:
        """The Job that tells again will tell no more."""
        job = self.report
        return job is not None and (job.finished or (job.is_failing and self._is_overdue(self.report_pods)))

    def _is_overdue(self, pods: tuple[Pod, ...]) -> bool:
        limit = self._overdue_at(pods)
        return limit is not None and self.now >= limit

    def _overdue_at(self, pods: tuple[Pod, ...]) -> datetime | None:
        """Return when the latest attempt should be over, if it was deleted at work and is not."""
        pod = latest(pods)
        if pod is None or pod.ended or pod.running_since is None or pod.ends_by is None:
            return None
        return pod.ends_by + END_PATIENCE * self.defaults.ask_after

    @property
    def ends_due(self) -> list[datetime]:
        """When pods should be over that were told to end."""
        limits = (self._overdue_at(self.pods), self._overdue_at(self.report_pods))
        return [limit for limit in limits if limit and limit > self.now]

    @property
    def recreations(self) -> int:
        """How often a Job took another one's place, this one included."""
        is_another = self.job and self.past.job_uid and self.job.uid != self.past.job_uid
        return self.past.recreations + (1 if is_another else 0)


def latest(pods: tuple[Pod, ...]) -> Pod | None:
    """Give the youngest pod; of those made in the same second, the one that is not over."""
    return max(pods, key=lambda pod: (pod.created_at, not pod.ended, pod.name), default=None)


@dataclass(frozen=True)
class Finding:
    """What was found: the stage's new status, its result if there is one, and when time alone changes it."""

    status: StageStatus
    job: Job | None = None
    result: StageResult | None = None
    image_id: str | None = None
    look_again_at: datetime | None = None
    needs_report: bool = False
    """The result is to be read again from the run folder."""
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True)
class Inquiry:
    """What is known, and what is to be asked, of something that should have started by now."""

    again_at: datetime
    trouble: Trouble | None = None
    questions: tuple[Question, ...] = ()


def inquire(sight: Sight, uid: str, since: datetime, heed_from: datetime) -> Inquiry:
    """Wonder about what should have started, once it has been on its way for long.

    Events from before `heed_from` are of an earlier attempt.
    """
    ask_at = since + sight.defaults.ask_after
    if sight.now < ask_at:
        return Inquiry(ask_at)
    question = WhyNotStarting(uid)
    if question not in sight.answers:
        return Inquiry(sight.now, questions=(question,))
    trouble: Trouble | None = sight.answers[question]
    again_at = sight.now + good_for(trouble, sight.defaults.ask_after)
    return Inquiry(again_at, trouble if trouble and trouble.is_news(heed_from) else None)


def advance(sight: Sight, state: StageState, cause: Cause | None = None) -> StageStatus:
    """Write down where a stage is."""
    job = sight.job
    return replace(
        sight.past,
        state=state,
        job_name=sight.run.job_name(sight.stage),
        job_uid=job.uid if job else sight.past.job_uid,
        recreations=sight.recreations,
        attempts=attempts(sight),
        start_time=sight.past.start_time or (job.created_at if job else sight.now),
        reason=cause.reason if cause else None,
        message=reasons.shorten(cause.message) if cause else None,
    )


def attempts(sight: Sight) -> int:
    """Count how often the stage was begun, as far as anybody still knows."""
    job = sight.job
    # A Job has begun an attempt before anybody sees the pod: the first, or the one after those that failed.
    counted = max(job.active + job.succeeded + job.failed, len(sight.pods), 1) if job else 0
    counted += 1 if job and job.failed and sight.newest is None and sight.is_due else 0
    begun = sight.past.attempts + (1 if sight.attempt_vanished else 0)
    return max(begun, counted + sight.recreations if job else 0)


def since(sight: Sight, status: StageStatus) -> datetime:
    """Say since when the attempt has been in a state for a reason; now, if it is about to be."""
    past = sight.past
    same = (past.state, past.reason, past.attempts) == (status.state, status.reason, status.attempts)
    return (past.last_transition_time if same else None) or sight.now


def waiting(sight: Sight, cause: Cause, begun: datetime | None = None) -> Finding:
    """Say what a stage waits for, but not for ever."""
    status = advance(sight, StageState.WAITING, cause)
    limit = (begun or since(sight, status)) + sight.defaults.start_timeout
    if sight.now >= limit:
        return given_up(sight, cause)
    return Finding(status, look_again_at=limit)


def given_up(sight: Sight, cause: Cause) -> Finding:
    """Fail what has waited for too long."""
    seconds = int(sight.defaults.start_timeout.total_seconds())
    return failed(sight, Cause(cause.reason, reasons.timed_out(seconds, cause.message)), log=False)


def failed(sight: Sight, cause: Cause, *, log: bool = True) -> Finding:
    """Say why a stage failed, and where more is to be read."""
    message = cause.message
    if log and "Log:" not in message:
        # Only a pod that is still there has a log in the cluster.
        job = sight.run.job_name(sight.stage) if sight.pods else None
        place = reasons.log_place(sight.run.artifact_path, job, sight.run.namespace)
        message = reasons.sentences(message, place)
    status = advance(sight, StageState.FAILED, Cause(cause.reason, message))
    return Finding(replace(status, completion_time=ended_at(sight)))


def ended_at(sight: Sight) -> datetime:
    """Say when the stage ended, as its Job has it."""
    return (sight.job and sight.job.ended_at) or sight.now


def patient(sight: Sight, job: Job) -> Finding | None:
    """Wait a little for the news of a pod, which may come after that of its Job."""
    limit = (job.ended_at or sight.now) + sight.defaults.result_patience
    if sight.now >= limit or job.ended_at is None:
        return None
    return Finding(sight.past, look_again_at=limit)


def retry_cause(sight: Sight) -> Cause | None:
    """Say why this attempt is not the first one."""
    before = sight.last_ended
    if before is not None:
        cause = why_failed(before, sight.run, sight.stage)
        text = reasons.retrying(attempts(sight), cause.reason, cause.message)
        return Cause(OperatorReason.RETRYING, text)
    if sight.attempt_vanished:
        return Cause(OperatorReason.RETRYING, reasons.attempt_vanished(attempts(sight)))
    if sight.past.reason == OperatorReason.RETRYING:  # its pod is gone meanwhile, its cause is not
        return Cause(OperatorReason.RETRYING, sight.past.message or "")
    if sight.recreations:
        return Cause(OperatorReason.RETRYING, reasons.job_recreated(sight.run.job_name(sight.stage)))
    return None
