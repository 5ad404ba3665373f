"""What a stage ended with: well, and read from its pod; or told again from the run folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import reasons
from qlib_shadow_operator.runs.causes import Cause, why_failed, why_refused
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.runs.result import TEXT_MAX, MalformedResultError, StageResult, parse_result
from qlib_shadow_operator.runs.sight import Finding, advance, ended_at, failed, latest, patient, waiting
from qlib_shadow_runner.contract import Reason, Stage

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Job, Pod, StageStatus
    from qlib_shadow_operator.runs.sight import Sight

NO_POD_LEFT: Final = "the pod that read it is gone too"
NOT_ASKED: Final = "the run folder could not be asked why"
FAILED_AT_ONCE: Final = "PodFailurePolicy"
"""Why a Job failed whose last attempt left with a code of its own, and so with a result in the run folder."""


def pod_has_succeeded(sight: Sight) -> Finding | None:
    """See that the stage is done, and with what; the Job's own word comes about a second later."""
    done = latest(tuple(pod for pod in sight.pods if pod.has_succeeded))
    return _read_result(sight, done) if done else None


def result_was_lost(sight: Sight) -> Finding | None:
    """See that the stage is done, but not the pod that could tell with what: a small Job tells it again."""
    if sight.job is None or not sight.job.is_complete:
        return None
    if sight.report is None:
        return patient(sight, sight.job) or _not_reported_yet(sight)
    done = latest(tuple(pod for pod in sight.report_pods if pod.has_succeeded))
    if done:
        return _read_result(sight, done)
    if sight.report_is_over:
        return patient(sight, sight.report) or failed(sight, _why_untold(sight, sight.report))
    return _under_way(sight, sight.report)


def cause_was_lost(sight: Sight, job: Job) -> Finding:
    """See that the stage failed, but not the pod that could tell why: the run folder may know."""
    report = sight.report
    if report is None:
        refused = why_rejected(sight)
        if refused is None:
            return Finding(_reporting(sight), needs_report=True)
        return failed(sight, _failed_with(job, f"{NOT_ASKED}: {refused.message}"))
    if not sight.report_is_over:
        return _under_way(sight, report)
    ended = latest(tuple(pod for pod in sight.report_pods if pod.ended))
    if ended is None:
        why = f"{NOT_ASKED}: {report.failure_message or NO_POD_LEFT}"
        return patient(sight, report) or failed(sight, _failed_with(job, why))
    return failed(sight, _as_told(sight, job, ended))


def _as_told(sight: Sight, job: Job, pod: Pod) -> Cause:
    """Take the run folder's word for the last attempt only where that attempt must have written it."""
    told = why_failed(pod, sight.run, sight.stage)
    if pod.has_succeeded or told.reason == Reason.RESULT_MISSING:
        return _failed_with(job, "the run folder does not tell why")
    if job.failure_reason == FAILED_AT_ONCE:
        return told
    return _failed_with(job, f"the last attempt that could tell ended with {told.reason}: {told.message}")


def _failed_with(job: Job, detail: str) -> Cause:
    text = reasons.job_failed(job.failure_reason, job.failure_message, detail)
    return Cause(OperatorReason.JOB_FAILED, text)


def _under_way(sight: Sight, report: Job) -> Finding:
    if report.suspended and sight.run.spec.queue_name:
        return Finding(advance(sight, StageState.WAITING, queued(sight)))
    return Finding(_reporting(sight))


def queued(sight: Sight) -> Cause:
    """Say that Kueue has the Job."""
    queue = sight.run.spec.queue_name or ""
    return Cause(OperatorReason.QUEUED, reasons.queued(queue, sight.run.namespace))


def why_rejected(sight: Sight) -> Cause | None:
    """Say what the API server had against the stage's Job, if it was refused."""
    if sight.rejection is None:
        return None
    detail = sight.rejection.message
    rejected = Cause(OperatorReason.JOB_REJECTED, reasons.job_rejected(detail))
    return why_refused(detail, sight.run, sight.stage) or rejected


def _not_reported_yet(sight: Sight) -> Finding:
    cause = why_rejected(sight)
    if cause is None or sight.rejection is None:
        return Finding(_reporting(sight), needs_report=True)
    if sight.rejection.hopeless:
        return failed(sight, _missing(sight, cause.message))
    return replace(waiting(sight, cause), needs_report=True)


def _reporting(sight: Sight) -> StageStatus:
    text = reasons.reporting_again(sight.stage, failed=bool(sight.job and sight.job.is_failed))
    cause = Cause(OperatorReason.REPORTING_AGAIN, text)
    return advance(sight, StageState.RUNNING, cause)


def _why_untold(sight: Sight, report: Job) -> Cause:
    """Say why the second telling failed; what the run folder says of the stage comes first."""
    ended = latest(tuple(pod for pod in sight.report_pods if pod.ended))
    if ended is None or ended.has_succeeded:
        return _missing(sight, report.failure_message or NO_POD_LEFT)
    cause = why_failed(ended, sight.run, sight.stage)
    return _missing(sight, cause.message)


def _missing(sight: Sight, detail: str) -> Cause:
    return Cause(Reason.RESULT_MISSING, reasons.result_missing(sight.stage, detail))


def _read_result(sight: Sight, pod: Pod) -> Finding:
    assert pod.termination is not None
    try:
        result = parse_result(pod.termination.message, stage=sight.stage, uid=sight.run.uid)
        _check_success(sight.stage, result)
    except MalformedResultError as error:
        message = reasons.result_malformed(sight.stage, str(error))
        return failed(sight, Cause(OperatorReason.RESULT_MALFORMED, message))
    status = advance(sight, StageState.SUCCEEDED, Cause(Reason.SUCCEEDED, result.message))
    return Finding(
        replace(status, completion_time=ended_at(sight)),
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
