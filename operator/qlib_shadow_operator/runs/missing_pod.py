"""A Job without a pod: refused by a quota, waiting after a failed attempt, or about to create one.

The Job controller doubles its wait with each pod that fails, those that a podFailurePolicy ignores included.
It counts in its memory, so after a restart of its own it waits less.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import pod_sentences
from qlib_shadow_operator.runs.causes import Cause, why_failed, why_no_pod
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.runs.stage_view import (
    CheckResult,
    attempts,
    check_startup,
    known_cause,
    next_status,
    retry_cause,
    since,
    start_timed_out,
    waiting_on_warning,
    without_minor_changes,
)

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.model import Job, Pod
    from qlib_shadow_operator.runs.stage_view import StageView, StartupCheck

REFUSALS: Final = frozenset({OperatorReason.QUOTA_EXCEEDED, OperatorReason.POD_REFUSED})
"""Reasons why a Job has no pod."""
FIRST: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(minutes=10)
"""The Job controller's first and longest wait."""
DOUBLED_MAX: Final = 10
"""More would not change the wait."""


def pod_is_absent(view: StageView) -> CheckResult | None:
    """The Job has no pod now: the Job controller creates one or waits, or is about to fail the Job."""
    pod, job = view.newest_pod, view.job
    assert job is not None
    # Whether the Job controller makes another attempt is not known yet, so the status stays.
    is_known = pod is not None and not _is_from_earlier_attempt(pod, view)
    status = view.previous
    if not is_known and status.reason != OperatorReason.BACK_OFF:
        status = without_minor_changes(view, next_status(view, StageState.STARTING, retry_cause(view)))
    # The Job's own times are not enough: its pod may have vanished after hours, or it was suspended for days.
    begun = max(since(view, status), job.started_at or job.created_at)
    if pod:
        begun = max(begun, _ended_at(pod, view))
    startup = _check_missing_pod(view, job, begun)
    if startup.warning_event:
        return waiting_on_warning(view, why_no_pod(startup.warning_event, view.run, view.stage), startup)
    if known := known_cause(view, startup):
        return waiting_on_warning(view, known, startup)
    # Whether the status counts the attempt already whose pod is missing.
    counts_it = not is_known or not (view.previous.state is StageState.RUNNING or _all_pods_are_there(view))
    failures = _failed_attempts(view, upcoming=int(counts_it))
    due = begun + wait_after(failures)
    limit = begun + view.defaults.start_timeout + (LONGEST if failures else timedelta(0))
    if view.now >= limit:
        cause = Cause(OperatorReason.NO_POD, pod_sentences.no_pod(job.name, view.run.namespace))
        return replace(start_timed_out(view, cause), queries=startup.queries)
    if _is_worth_telling(view, begun, due):
        cause = _back_off_cause(view, due, None if counts_it else pod)
        status = next_status(view, StageState.WAITING, cause)
    return CheckResult(status, requeue_at=min(limit, startup.again_at), queries=startup.queries)


def _is_worth_telling(view: StageView, begun: datetime, due: datetime) -> bool:
    """Whether the Job controller waits for longer than a pod may take to start, and it is not told yet."""
    told = view.previous.reason == OperatorReason.BACK_OFF and view.previous.attempts == attempts(view)
    return begun + view.defaults.query_after <= view.now < due and not told


def _back_off_cause(view: StageView, due: datetime, before: Pod | None) -> Cause:
    if before is None:
        return Cause(
            OperatorReason.BACK_OFF,
            pod_sentences.backing_off(attempts(view), due, pod_sentences.pod_is_gone()),
        )
    ended = why_failed(before, view.run, view.stage)
    how = pod_sentences.ended_with(ended.reason, ended.message)
    return Cause(OperatorReason.BACK_OFF, pod_sentences.backing_off(attempts(view) + 1, due, how))


def _is_from_earlier_attempt(pod: Pod, view: StageView) -> bool:
    """Whether the status describes a later attempt, whose pod is gone already."""
    begun = view.previous.last_transition_time
    return view.previous.state is StageState.RUNNING and begun is not None and _ended_at(pod, view) < begun


def _ended_at(pod: Pod, view: StageView) -> datetime:
    return (pod.termination and pod.termination.finished_at) or pod.not_ready_since or view.now


def _check_missing_pod(view: StageView, job: Job, begun: datetime) -> StartupCheck:
    """Give a new Job time to create a pod, but query at once if its pods were refused before."""
    previous, pod = view.previous, view.newest_pod
    known = (
        previous.state is StageState.WAITING and previous.reason in REFUSALS and previous.job_uid == job.uid
    )
    if known and previous.last_transition_time:
        begun = previous.last_transition_time - view.defaults.query_after
    return check_startup(
        view, job.uid, begun, _ended_at(pod, view) if pod else job.started_at or job.created_at
    )


def wait_after(failures: int) -> timedelta:
    """Return how long the Job controller waits after so many failed pods."""
    return min(FIRST * 2 ** min(failures - 1, DOUBLED_MAX), LONGEST) if failures else timedelta(0)


def _failed_attempts(view: StageView, upcoming: int) -> int:
    """Return how many pods of the Job have failed, as far as is known, without the upcoming attempt."""
    job = view.job
    assert job is not None
    counted = max(sum(pod.ended for pod in view.pods), job.failed)
    if view.recreations or view.previous.job_uid != job.uid:
        return counted  # the status counts the attempts of an earlier Job, too
    return max(counted, attempts(view) - upcoming)


def _all_pods_are_there(view: StageView) -> bool:
    """Return whether the pods of all attempts that the status counts still exist."""
    return len(view.pods) >= attempts(view) - view.recreations
