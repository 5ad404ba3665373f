"""Why a pod waits and why an attempt failed: maps what the kubelet and the scheduler say to a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs import job_fields, pod_sentences, reasons, start_reasons
from qlib_shadow_operator.runs.evictions import EVICTED, outgrown
from qlib_shadow_operator.runs.reasons import OperatorReason, ReasonText
from qlib_shadow_operator.runs.stage_result import MalformedResultError, StageResult, parse_result
from qlib_shadow_runner.contract import ENV_TEMPLATE, ExitCode, Reason, Stage
from qlib_shadow_runner.contract.stages import STAGES

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Pod, Run, Termination
    from qlib_shadow_operator.runs.queries import WarningEvent

IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
"""Waiting reasons of the kubelet about the image."""
START_REASONS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)
"""Waiting reasons of the kubelet about starting the container."""
MOUNT_REASONS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
"""Reasons of Events about a pod's volumes."""
NO_MEMORY: Final = re.compile(
    r"container that has stopped|cannot start a stopped process|OOM-killed|memory limit too low"
    r"|minimum allowed memory"
    r"|memory\.(max|limit_in_bytes)"
)
"""What container runtimes say where the memory limit does not suffice to start a process."""
NO_RUNNER: Final = re.compile(r"executable file not found|no such file or directory|exec format error")
"""What they say where the image has no such program, or one for another processor."""
MISSING_OBJECTS: Final = {
    r"no PriorityClass with name": job_fields.PRIORITY_CLASS,
    r"RuntimeClass \S+ not found": job_fields.RUNTIME_CLASS,
    r"(?i)service ?account \S+ not found|looking up service account": job_fields.SERVICE_ACCOUNT,
}
"""What the API server says of a class or an account that is not there, and the field that names it."""
TAIL_MAX: Final = 400
"""Characters of the log's end that a failure message quotes."""


@dataclass(frozen=True)
class Cause:
    """A reason and its sentence."""

    reason: ReasonText
    message: str
    permanent: bool = False
    """Whether waiting cannot help."""


def why_waiting(pod: Pod, run: Run, stage: Stage, claim: str) -> Cause | None:
    """Return what keeps a pod from starting, or None if it starts normally."""
    if pod.unschedulable:
        return _why_unschedulable(pod.unschedulable, run, stage, claim)
    detail = pod.waiting_message or pod.waiting_reason
    if pod.waiting_reason in IMAGE_REASONS:
        return Cause(
            OperatorReason.IMAGE_UNAVAILABLE,
            start_reasons.image_unavailable(
                pod.image,
                run.namespace,
                (one.name for one in run.spec.image_pull_secrets),
                detail,
                (job_fields.IMAGE.name(run, stage), job_fields.PULL_SECRETS.name(run, stage)),
            ),
            permanent=pod.waiting_reason == "InvalidImageName",
        )
    if pod.waiting_reason in START_REASONS:
        return _why_not_startable(detail, run, stage, pod)
    return None


def _why_unschedulable(detail: str, run: Run, stage: Stage, claim: str) -> Cause:
    if re.search(r'persistentvolumeclaim "[^"]*" not found', detail):
        return Cause(
            OperatorReason.CLAIM_MISSING,
            reasons.claim_missing(claim, run.namespace, job_fields.CLAIM.name(run, stage)),
        )
    if "persistentvolumeclaim" in detail.lower():  # unbound, bound to no volume, or being deleted
        message = reasons.claim_unusable(claim, run.namespace, detail)
        return Cause(OperatorReason.CLAIM_UNUSABLE, message)
    message = reasons.unschedulable(stage, detail, job_fields.placement_of(run, stage))
    return Cause(OperatorReason.UNSCHEDULABLE, message)


def _why_not_startable(detail: str, run: Run, stage: Stage, pod: Pod) -> Cause:
    template = run.spec.workflow.config_map
    if template and ENV_TEMPLATE in STAGES[stage].variables and "configmap" in detail.lower():
        message = start_reasons.template_missing(template.name, template.key, run.namespace, detail)
        return Cause(Reason.TEMPLATE_NOT_FOUND, message)
    return _container_cannot_start(detail, run, stage, pod)


def _container_cannot_start(detail: str, run: Run, stage: Stage, pod: Pod) -> Cause:
    if NO_MEMORY.search(detail):
        message = start_reasons.memory_too_small(stage, pod.memory_limit)
    elif NO_RUNNER.search(detail):
        message = start_reasons.container_cannot_start(
            detail, start_reasons.wrong_image(job_fields.IMAGE.name(run, stage))
        )
    else:
        message = start_reasons.container_cannot_start(
            detail, start_reasons.describe_pod(pod.name, run.namespace)
        )
    return Cause(OperatorReason.CONTAINER_CANNOT_START, message)


def why_refused(detail: str, run: Run, stage: Stage) -> Cause | None:
    """Return why the API server refuses a Job or its pod, if the message is a known one."""
    detail = _without_name(detail)
    if "exceeded quota" in detail or "failed quota" in detail:
        return Cause(OperatorReason.QUOTA_EXCEEDED, reasons.quota_exceeded(stage, run.namespace, detail))
    return None


def why_no_pod(warning_event: WarningEvent, run: Run, stage: Stage) -> Cause:
    """Return why the Job controller could not create a pod; its Event quotes the API server."""
    detail = _without_name(warning_event.message)
    told = job_fields.in_words_of_the_run(detail, run, stage)[0]
    missing = next((field for text, field in MISSING_OBJECTS.items() if re.search(text, detail)), None)
    sentence = (
        start_reasons.object_missing(stage, told, missing.name(run, stage))
        if missing
        else start_reasons.pod_refused(stage, run.namespace, told)
    )
    return why_refused(detail, run, stage) or Cause(OperatorReason.POD_REFUSED, sentence)


def _without_name(detail: str) -> str:
    """Drop the refused object's name: each new pod has another name for the same cause."""
    return re.sub(
        r'^([^"]*"[^"]*" is forbidden|(\(combined from similar events\): )?Error creating): ', "", detail
    )


def why_starting(warning_event: WarningEvent, run: Run, stage: Stage, claim: str, pod: Pod) -> Cause:
    """Return the cause from an Event about a pod that has a node but no container."""
    if warning_event.reason in MOUNT_REASONS:
        message = start_reasons.volume_not_mounted(claim, run.namespace, warning_event.message)
        return Cause(OperatorReason.VOLUME_NOT_MOUNTED, message)
    return _container_cannot_start(warning_event.message, run, stage, pod)


def why_failed(pod: Pod, run: Run, stage: Stage) -> Cause:
    """Return why an attempt failed; the runner's result takes precedence over the node's."""
    end = pod.termination
    result = _result(end, run, stage) if end else None
    if result and not result.succeeded and result.reason != Reason.INTERRUPTED:
        return Cause(result.reason, result.message)
    if storage := outgrown(pod, stage):
        return Cause(OperatorReason.OUT_OF_SCRATCH, pod_sentences.out_of_scratch(stage, storage, pod.message))
    if pod.disruption or (pod.reason == EVICTED and end):
        return Cause(OperatorReason.EVICTED, reasons.evicted(pod.message or pod.disruption))
    if end is None:
        return _why_never_started(pod)
    if result and not result.succeeded:
        return Cause(result.reason, result.message)
    return _why_killed(end, run, stage, pod)


def _why_never_started(pod: Pod) -> Cause:
    """Return why a pod failed whose container never ran: its node refused it, or it was deleted before."""
    detail = pod.message or pod.reason
    if detail:
        return Cause(OperatorReason.NODE_REFUSED, pod_sentences.node_refused(detail))
    return Cause(Reason.INTERRUPTED, reasons.interrupted())


def _why_killed(end: Termination, run: Run, stage: Stage, pod: Pod) -> Cause:
    """Return why a process left no result."""
    tail = end.message.strip()[-TAIL_MAX:]
    slow_to_stop = pod.deleting and end.exit_code == ExitCode.OUT_OF_MEMORY  # SIGKILL after the grace period
    if end.exit_code == ExitCode.INTERRUPTED or (slow_to_stop and end.reason != "OOMKilled"):
        return Cause(Reason.INTERRUPTED, reasons.interrupted())
    if end.reason == "OOMKilled" or end.exit_code == ExitCode.OUT_OF_MEMORY:
        return Cause(Reason.OUT_OF_MEMORY, reasons.out_of_memory(stage, pod.memory_limit, tail))
    if end.reason in {"StartError", "ContainerCannotRun"}:
        return _container_cannot_start(tail, run, stage, pod)
    text = reasons.container_failed(end.exit_code, tail, job_fields.IMAGE.name(run, stage))
    return Cause(OperatorReason.CONTAINER_FAILED, text)


def _result(end: Termination, run: Run, stage: Stage) -> StageResult | None:
    try:
        return parse_result(end.message, stage=stage, uid=run.uid)
    except MalformedResultError:
        return None
