"""The outcome of a stage: its result from its pod, or else from the run folder through a recovery Job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons, start_reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed, why_refused
from qlib_shadow_operator.runs.job_fields import IMAGE, in_words_of_the_run
from qlib_shadow_operator.runs.names import PURPOSE_RECOVERY, StageState
from qlib_shadow_operator.runs.queries import FindPods
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.runs.stage_result import TEXT_MAX, MalformedResultError, StageResult, parse_result
from qlib_shadow_operator.runs.stage_view import (
    CheckResult,
    ended_at,
    failed,
    latest_pod,
    next_status,
    since,
    wait_for_pod_update,
    waiting_for,
)
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.stages import leaving

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Job, Pod, Rejection, StageStatus
    from qlib_shadow_operator.runs.stage_view import StageView
    from qlib_shadow_runner.contract import Stage

NO_POD_LEFT: Final = "the pod that read it is gone too"
RUN_FOLDER_UNREADABLE: Final = "the run folder could not be read"
POD_FAILURE_POLICY_REASON: Final = "PodFailurePolicy"
"""The reason of a Job whose last attempt ended with an exit code of the runner, and so left a result."""


def pod_has_succeeded(view: StageView) -> CheckResult | None:
    """A pod of the stage has succeeded; the stage takes its result."""
    done = latest_pod(tuple(pod for pod in view.pods if pod.has_succeeded))
    return _read_result(view, done) if done else None


def result_is_missing(view: StageView) -> CheckResult | None:
    """The Job is complete but its pod is gone; a recovery Job reads the result from the run folder."""
    if view.job is None or not view.job.is_complete:
        return None
    if view.recovery_job is None:
        return wait_for_pod_update(view, view.job) or _recovery_needed(view)
    done = latest_pod(tuple(pod for pod in view.recovery_pods if pod.has_succeeded))
    if done:
        return _read_result(view, done)
    if view.recovery_job_is_over:
        return (
            wait_for_pod_update(view, view.recovery_job)
            or _recovery_pod_lookup(view)
            or failed(view, _recovery_failure(view, view.recovery_job))
        )
    return _recovery_in_progress(view, view.recovery_job)


def failure_cause_is_missing(view: StageView, job: Job) -> CheckResult:
    """Return the failure of a stage whose pod is gone; a recovery Job reads the cause from the run folder."""
    recovery_job = view.recovery_job
    if recovery_job is None:
        refused = why_rejected(view)
        if refused is None or _may_pass(view):
            return CheckResult(_recovery_status(view), needs_recovery=True)
        return failed(view, _failed_with(job, f"{RUN_FOLDER_UNREADABLE}: {refused.message}"))
    if not view.recovery_job_is_over:
        return _recovery_in_progress(view, recovery_job)
    ended = latest_pod(tuple(pod for pod in view.recovery_pods if pod.ended))
    if ended is None:
        why = f"{RUN_FOLDER_UNREADABLE}: {recovery_job.failure_message or NO_POD_LEFT}"
        waits = wait_for_pod_update(view, recovery_job) or _recovery_pod_lookup(view)
        return waits or failed(view, _failed_with(job, why))
    return failed(view, _recorded_cause(view, job, ended))


def _recovery_pod_lookup(view: StageView) -> CheckResult | None:
    """Look a missing recovery pod up, because its labels may have been removed."""
    query = FindPods(view.stage, PURPOSE_RECOVERY)
    if query in view.answers or any(pod.ended for pod in view.recovery_pods):
        return None
    return CheckResult(view.previous, queries=(query,))


def _recorded_cause(view: StageView, job: Job, pod: Pod) -> Cause:
    """Use the recorded cause only if the last attempt must have written it."""
    recorded_cause = why_failed(pod, view.run, view.stage)
    if pod.has_succeeded or recorded_cause.reason == Reason.RESULT_MISSING:
        return _failed_with(job, "the run folder does not say why")
    if job.failure_reason == POD_FAILURE_POLICY_REASON:
        return recorded_cause
    return _failed_with(
        job,
        f"the last recorded attempt ended with {recorded_cause.reason}: {recorded_cause.message}",
    )


def _failed_with(job: Job, detail: str) -> Cause:
    text = reasons.job_failed(job.failure_reason, job.failure_message, detail)
    return Cause(OperatorReason.JOB_FAILED, text)


def _recovery_in_progress(view: StageView, recovery_job: Job) -> CheckResult:
    if recovery_job.suspended and view.run.spec.queue_name:
        # Without its queue's label Kueue never admits the Job; to make it again restores the label.
        status = next_status(view, StageState.WAITING, why_rejected(view) or queued(view))
        return CheckResult(status, needs_recovery=not recovery_job.has_queue)
    return CheckResult(_recovery_status(view))


def queued(view: StageView) -> Cause:
    """Return that Kueue has not admitted the Job."""
    queue = view.run.spec.queue_name or ""
    return Cause(OperatorReason.QUEUED, reasons.queued(queue, view.run.namespace))


def why_rejected(view: StageView) -> Cause | None:
    """Return why the API server did not create the stage's Job, or None."""
    if view.rejection is None or view.rejection.of_a_change:
        return None
    detail = view.rejection.message
    if view.rejection.server_failed:
        return Cause(OperatorReason.JOB_NOT_CREATED, start_reasons.job_not_created(view.stage, detail))
    if view.rejection.name_taken:
        return Cause(OperatorReason.JOB_NAME_TAKEN, detail)
    told, fields = in_words_of_the_run(detail, view.run, view.stage)
    rejected = Cause(OperatorReason.JOB_REJECTED, start_reasons.job_rejected(view.stage, told, fields))
    return why_refused(detail, view.run, view.stage) or rejected


def why_unchanged(rejection: Rejection | None, stage: Stage) -> Cause | None:
    """Return why the API server did not suspend or resume the stage's Job, or None."""
    if rejection is None or not rejection.of_a_change:
        return None
    text = start_reasons.job_not_changed(stage, rejection.message)
    return Cause(OperatorReason.JOB_NOT_CHANGED, text)


def _may_pass(view: StageView) -> bool:
    """Whether a recovery Job that could not be created is tried again, within a limit of time."""
    status = _recovery_status(view)
    limit = since(view, status) + view.defaults.start_timeout
    return view.rejection is not None and view.rejection.server_failed and view.now < limit


def _recovery_needed(view: StageView) -> CheckResult:
    cause = why_rejected(view)
    if cause is None or view.rejection is None:
        return CheckResult(_recovery_status(view), needs_recovery=True)
    if view.rejection.permanent:
        return failed(view, _missing(view, cause.message))
    return replace(waiting_for(view, cause), needs_recovery=True)


def _recovery_status(view: StageView) -> StageStatus:
    text = reasons.recovering_result(view.stage, failed=bool(view.job and view.job.is_failed))
    cause = Cause(OperatorReason.RECOVERING_RESULT, text)
    return next_status(view, StageState.RUNNING, cause)


def _recovery_failure(view: StageView, recovery_job: Job) -> Cause:
    """Return why the recovery Job failed; the run folder's record takes precedence."""
    ended = latest_pod(tuple(pod for pod in view.recovery_pods if pod.ended))
    if ended is None or ended.has_succeeded:
        return _missing(view, recovery_job.failure_message or NO_POD_LEFT)
    cause = why_failed(ended, view.run, view.stage)
    return _missing(view, cause.message)


def _missing(view: StageView, detail: str) -> Cause:
    return Cause(Reason.RESULT_MISSING, reasons.result_missing(view.stage, detail))


def _read_result(view: StageView, pod: Pod) -> CheckResult:
    assert pod.termination is not None
    try:
        result = parse_result(pod.termination.message, stage=view.stage, uid=view.run.uid)
        _check_success(view, result)
    except MalformedResultError as error:
        message = reasons.result_malformed(view.stage, str(error), IMAGE.name(view.run, view.stage))
        return failed(view, Cause(OperatorReason.RESULT_MALFORMED, message))
    status = next_status(view, StageState.SUCCEEDED, Cause(Reason.SUCCEEDED, result.message))
    return CheckResult(
        replace(status, completion_time=ended_at(view)),
        result=result,
        image_id=reasons.shorten(pod.image_id, TEXT_MAX) or None,
    )


def _check_success(view: StageView, result: StageResult) -> None:
    if not result.succeeded:
        raise MalformedResultError(f"its exit code is 0 but its reason is {result.reason}")
    if view.stage is leaving("dataset", view.run.stages):
        resolved = result.dataset.get("resolvedPath")
        if not isinstance(resolved, str) or not resolved.startswith("/data/") or ".." in resolved.split("/"):
            raise MalformedResultError("its dataset.resolvedPath is not a path under /data")
