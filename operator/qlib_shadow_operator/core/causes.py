"""Why a pod waits, and why an attempt failed: from what the kubelet and the scheduler say to a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.core import reasons
from qlib_shadow_operator.core.reasons import OperatorReason, ReasonText
from qlib_shadow_operator.core.result import MalformedResultError, StageResult, parse_result
from qlib_shadow_runner.contract import ExitCode, Reason

if TYPE_CHECKING:
    from qlib_shadow_operator.core.model import Pod, Run, Termination
    from qlib_shadow_runner.contract import Stage

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
TAIL_MAX: Final = 400
"""Characters of a log's end that a failure shows."""


@dataclass(frozen=True)
class Cause:
    """A typed reason and its sentence."""

    reason: ReasonText
    message: str
    hopeless: bool = False
    """Waiting changes nothing."""


def why_waiting(pod: Pod, stage: Stage, claim: str, namespace: str) -> Cause | None:
    """Say what keeps a pod from starting, or None while it is simply on its way."""
    if pod.unschedulable:
        if "persistentvolumeclaim" in pod.unschedulable and "not found" in pod.unschedulable:
            return Cause(OperatorReason.CLAIM_MISSING, reasons.claim_missing(claim, namespace))
        return Cause(OperatorReason.UNSCHEDULABLE, reasons.unschedulable(stage, pod.unschedulable))
    detail = pod.waiting_message or pod.waiting_reason
    if pod.waiting_reason in IMAGE_REASONS:
        return Cause(
            OperatorReason.IMAGE_UNAVAILABLE,
            reasons.image_unavailable(pod.image, detail),
            hopeless=pod.waiting_reason == "InvalidImageName",
        )
    if pod.waiting_reason in START_REASONS:
        return Cause(OperatorReason.CONTAINER_CANNOT_START, reasons.container_cannot_start(detail))
    return None


def why_failed(pod: Pod, run: Run, stage: Stage) -> Cause:
    """Say why an attempt ended badly: what the runner says comes first, then what the node says."""
    end = pod.termination
    if end is None or pod.reason == "Evicted":
        return Cause(OperatorReason.EVICTED, reasons.evicted(pod.message))
    result = _result(end, run, stage)
    if result and not result.succeeded:
        return Cause(result.reason, result.message)
    return _why_killed(end, stage, pod.memory_limit)


def _why_killed(end: Termination, stage: Stage, memory_limit: str | None) -> Cause:
    """Say why a process left nothing behind."""
    tail = end.message.strip()[-TAIL_MAX:]
    if end.reason == "OOMKilled" or end.exit_code == ExitCode.OUT_OF_MEMORY:
        return Cause(Reason.OUT_OF_MEMORY, reasons.out_of_memory(stage, memory_limit))
    if end.exit_code == ExitCode.INTERRUPTED:
        return Cause(Reason.INTERRUPTED, reasons.interrupted())
    if end.reason in {"StartError", "ContainerCannotRun"}:
        return Cause(OperatorReason.CONTAINER_CANNOT_START, reasons.container_cannot_start(tail))
    return Cause(OperatorReason.CONTAINER_FAILED, reasons.container_failed(end.exit_code, tail))


def _result(end: Termination, run: Run, stage: Stage) -> StageResult | None:
    try:
        return parse_result(end.message, stage=stage, uid=run.uid)
    except MalformedResultError:
        return None
