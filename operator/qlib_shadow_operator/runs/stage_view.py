"""What is known of one stage, what a check returns, and how its status is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.queries import UNREAD, Answers, FindStartupWarning, answer_lifetime
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Job, Pod, Rejection, Run, StageStatus
    from qlib_shadow_operator.runs.queries import Query, WarningEvent
    from qlib_shadow_operator.runs.stage_result import StageResult
    from qlib_shadow_runner.contract import Stage

FROM_EVENTS: Final = frozenset(
    {
        *(OperatorReason.QUOTA_EXCEEDED, OperatorReason.POD_REFUSED),
        *(OperatorReason.VOLUME_NOT_MOUNTED, OperatorReason.CONTAINER_CANNOT_START),
    }
)
"""Reasons that only Events tell."""
NOT_TAKEN: Final[frozenset[str | None]] = frozenset(
    {
        *(OperatorReason.JOB_REJECTED, OperatorReason.JOB_NOT_CREATED, OperatorReason.JOB_NAME_TAKEN),
        *(OperatorReason.QUOTA_EXCEEDED, OperatorReason.POD_REFUSED),
    }
)
"""Why a Job or its pod is not taken: these may alternate, and the start timeout counts from the first."""
END_GRACE_PERIOD: Final = 3
"""How long a node may take to report an end that is due, in multiples of `query_after`."""


@dataclass(frozen=True)
class StageView:
    """Everything that the checks of one stage read."""

    run: Run
    stage: Stage
    previous: StageStatus
    job: Job | None
    pods: tuple[Pod, ...]
    recovery_job: Job | None
    recovery_pods: tuple[Pod, ...]
    rejection: Rejection | None
    answers: Answers
    defaults: Defaults
    now: datetime

    @property
    def newest_pod(self) -> Pod | None:
        """The latest attempt."""
        return latest_pod(self.pods)

    @property
    def last_ended_pod(self) -> Pod | None:
        """The latest attempt that has ended."""
        return latest_pod(tuple(pod for pod in self.pods if pod.ended))

    @property
    def claim(self) -> str:
        """The volume's claim."""
        return self.run.spec.storage.claim_name or self.defaults.claim_name

    @property
    def pod_is_due(self) -> bool:
        """Whether the Job controller must create a pod, because there is none."""
        job = self.job
        return job is not None and not (job.finished or job.is_failing or job.suspended or job.active)

    @property
    def attempt_vanished(self) -> bool:
        """Whether the status says that a pod runs, and there is none: it was deleted, or its node is lost."""
        job, pod = self.job, self.newest_pod
        if job is None or job.finished or job.suspended or job.uid != self.previous.job_uid:
            return False
        is_gone = pod is None or not (pod.ended or pod.running_since)
        ran = (
            self.previous.state is StageState.RUNNING
            or self.previous.reason == OperatorReason.POD_DOES_NOT_END
        )
        return is_gone and ran

    @property
    def pod_is_hidden(self) -> bool:
        """Whether the Job counts a pod that the cache lacks, for longer than a watch may be late."""
        job = self.job
        if job is None or not job.active or job.suspended or not all(pod.ended for pod in self.pods):
            return False
        ends = [pod.termination.finished_at for pod in self.pods if pod.termination]
        latest = max([job.started_at or job.created_at, *(end for end in ends if end)])
        return self.now >= latest + self.defaults.query_after

    @property
    def jobs_out_of_sight(self) -> tuple[Job, ...]:
        """The Jobs that no watch delivers, so that they must be read each time until they end."""
        jobs = (self.job, self.recovery_job)
        return tuple(job for job in jobs if job and job.out_of_sight and not job.finished)

    @property
    def pod_is_out_of_sight(self) -> bool:
        """Whether no watch delivers the latest attempt, so that it must be looked up each time."""
        pod = self.newest_pod
        return pod is not None and pod.out_of_sight and not (self.job and self.job.finished and pod.ended)

    @property
    def pod_is_stuck(self) -> bool:
        """Whether the latest attempt was told to stop, and its node does not report that it has."""
        return self._is_past_end_deadline(self.pods)

    @property
    def recovery_job_is_over(self) -> bool:
        """Whether the recovery Job has ended, or will report nothing more."""
        job = self.recovery_job
        return job is not None and (
            job.finished or (job.is_failing and self._is_past_end_deadline(self.recovery_pods))
        )

    def _is_past_end_deadline(self, pods: tuple[Pod, ...]) -> bool:
        limit = self._end_deadline(pods)
        return limit is not None and self.now >= limit

    def _end_deadline(self, pods: tuple[Pod, ...]) -> datetime | None:
        """Return when the latest attempt should have ended if it was deleted while running, else None."""
        pod = latest_pod(pods)
        if pod is None or pod.ended or pod.running_since is None or pod.ends_by is None:
            return None
        return pod.ends_by + END_GRACE_PERIOD * self.defaults.query_after

    @property
    def end_deadlines(self) -> list[datetime]:
        """When the pods that were told to stop should have ended."""
        limits = (self._end_deadline(self.pods), self._end_deadline(self.recovery_pods))
        return [limit for limit in limits if limit and limit > self.now]

    @property
    def recreations(self) -> int:
        """How often the Job was recreated, this Job included."""
        is_another = self.job and self.previous.job_uid and self.job.uid != self.previous.job_uid
        return self.previous.recreations + (1 if is_another else 0)


def latest_pod(pods: tuple[Pod, ...]) -> Pod | None:
    """Return the youngest pod; among pods of the same second, one that has not ended."""
    return max(pods, key=lambda pod: (pod.created_at, not pod.ended, pod.name), default=None)


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check: the stage's new status and result, and when time alone may change it."""

    status: StageStatus
    job: Job | None = None
    result: StageResult | None = None
    image_id: str | None = None
    requeue_at: datetime | None = None
    marks_lost: bool = False
    """Whether the Job exists, and its labels or its owner must be restored."""
    needs_recovery: bool = False
    """Whether the result must be read from the run folder."""
    queries: tuple[Query, ...] = ()


@dataclass(frozen=True)
class StartupCheck:
    """What is known of a Job or pod that should have started, and what must be queried."""

    again_at: datetime
    warning_event: WarningEvent | None = None
    is_unread: bool = False
    """Whether Events could not be read."""
    queries: tuple[Query, ...] = ()


def check_startup(view: StageView, uid: str, since: datetime, events_since: datetime) -> StartupCheck:
    """Look for the Warning that explains a late start, once it is late.

    Events from before `events_since` belong to an earlier attempt.
    """
    ask_at = since + view.defaults.query_after
    if view.now < ask_at:
        return StartupCheck(ask_at)
    query = FindStartupWarning(uid)
    if query not in view.answers:
        return StartupCheck(view.now, queries=(query,))
    answer = view.answers[query]
    again_at = view.now + answer_lifetime(answer, view.defaults.query_after)
    if answer == UNREAD:
        return StartupCheck(again_at, is_unread=True)
    is_current = answer is not None and answer.is_current(events_since)
    return StartupCheck(again_at, answer if is_current else None)


def known_cause(view: StageView, startup: StartupCheck) -> Cause | None:
    """Return what the status says that the stage waits for, where nothing newer could be read."""
    previous = view.previous
    if startup.is_unread and previous.state is StageState.WAITING and previous.reason in FROM_EVENTS:
        return Cause(str(previous.reason), previous.message or "")
    return None


def next_status(view: StageView, state: StageState, cause: Cause | None = None) -> StageStatus:
    """Return the stage's status in a new state."""
    job = view.job
    return replace(
        view.previous,
        state=state,
        job_name=view.run.job_name(view.stage),
        job_uid=job.uid if job else view.previous.job_uid,
        recreations=view.recreations,
        attempts=attempts(view),
        start_time=view.previous.start_time or (job.created_at if job else view.now),
        reason=cause.reason if cause else None,
        message=reasons.shorten(cause.message) if cause else None,
    )


def attempts(view: StageView) -> int:
    """Return how many attempts the stage has had, as far as is known."""
    job = view.job
    # A Job has an attempt before its pod is visible: the first one, or the one after those that failed.
    counted = max(job.active + job.succeeded + job.failed, len(view.pods), 1) if job else 0
    counted += 1 if job and job.failed and view.newest_pod is None and view.pod_is_due else 0
    begun = view.previous.attempts + (1 if view.attempt_vanished else 0)
    return max(begun, counted + view.recreations if job else 0)


def since(view: StageView, status: StageStatus) -> datetime:
    """Return since when the attempt has had this state and reason; now, if they are new."""
    same = is_same_wait(view.previous, status)
    return (view.previous.last_transition_time if same else None) or view.now


def is_same_wait(old: StageStatus, new: StageStatus) -> bool:
    """Return whether nothing has changed, or only which of NOT_TAKEN the attempt waits for."""
    alternates = old.state is new.state is StageState.WAITING and {old.reason, new.reason} <= NOT_TAKEN
    same = (old.state, old.attempts) == (new.state, new.attempts)
    return same and (alternates or old.reason == new.reason)


def waiting_for(view: StageView, cause: Cause, begun: datetime | None = None) -> CheckResult:
    """Return a stage that waits for a cause, or its failure after the start timeout."""
    status = next_status(view, StageState.WAITING, cause)
    limit = (begun or since(view, status)) + view.defaults.start_timeout
    if view.now >= limit:
        return start_timed_out(view, cause)
    return CheckResult(status, requeue_at=limit)


def without_minor_changes(view: StageView, status: StageStatus) -> StageStatus:
    """Omit a new Job's uid until the next change: most pods start within QUERY_AFTER."""
    is_new = view.job is not None and view.now < view.job.created_at + view.defaults.query_after
    return replace(status, job_uid=None) if is_new and view.previous.job_uid is None else status


def waiting_on_warning(
    view: StageView, cause: Cause, startup: StartupCheck, begun: datetime | None = None
) -> CheckResult:
    """Return a stage that waits for what a Warning says, until it is time to read the Events again."""
    found = waiting_for(view, cause, begun)
    again = min(found.requeue_at, startup.again_at) if found.requeue_at else None
    return replace(found, requeue_at=again)


def start_timed_out(view: StageView, cause: Cause) -> CheckResult:
    """Return the failure of a stage that did not start in time."""
    seconds = int(view.defaults.start_timeout.total_seconds())
    return failed(view, Cause(cause.reason, reasons.timed_out(seconds, cause.message)), log=False)


def failed(view: StageView, cause: Cause, *, log: bool = True) -> CheckResult:
    """Return the failure of a stage, with the place of its log."""
    message = cause.message
    if log and "Log:" not in message:
        # `kubectl logs` works only while the pod exists.
        job = view.run.job_name(view.stage) if view.pods else None
        # A folder that belongs to another run holds the log of that run.
        folder = None if cause.reason == Reason.RUN_FOLDER_TAKEN else view.run.artifact_path
        if folder or job:
            message = reasons.sentences(message, reasons.log_location(folder, job, view.run.namespace))
    status = next_status(view, StageState.FAILED, Cause(cause.reason, message))
    return CheckResult(replace(status, completion_time=ended_at(view)))


def ended_at(view: StageView) -> datetime:
    """Return when the stage ended, by its Job."""
    return (view.job and view.job.ended_at) or view.now


def wait_for_pod_update(view: StageView, job: Job) -> CheckResult | None:
    """Wait briefly for a pod's update, which may arrive after that of its Job."""
    limit = (job.ended_at or view.now) + view.defaults.result_timeout
    if view.now >= limit or job.ended_at is None:
        return None
    return CheckResult(view.previous, requeue_at=limit)


def retry_cause(view: StageView) -> Cause | None:
    """Return why this is not the first attempt, or None if it is."""
    before = view.last_ended_pod
    if before is not None:
        cause = why_failed(before, view.run, view.stage)
        text = reasons.retrying(attempts(view), cause.reason, cause.message)
        return Cause(OperatorReason.RETRYING, text)
    if view.attempt_vanished:
        return Cause(OperatorReason.RETRYING, reasons.attempt_vanished(attempts(view)))
    if view.previous.reason == OperatorReason.RETRYING:  # the pod is gone by now, the cause still holds
        return Cause(OperatorReason.RETRYING, view.previous.message or "")
    if view.recreations:
        return Cause(OperatorReason.RETRYING, reasons.job_recreated(view.run.job_name(view.stage)))
    return None
