"""The operator's own reasons and their sentences; the runner's pass through as they are.

A message says the cause, the place and the remedy. Nothing else in the operator words a failure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract import STDERR_FILE, Stage


class OperatorReason(StrEnum):
    """What the operator itself finds; a runner's Reason may stand in the same places."""

    # a stage that does not start
    UNSCHEDULABLE = "Unschedulable"
    CLAIM_MISSING = "VolumeClaimMissing"
    CLAIM_UNUSABLE = "VolumeClaimUnusable"
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    NO_POD = "NoPod"
    START_TIMED_OUT = "StartTimedOut"
    JOB_REJECTED = "JobRejected"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    # a stage that does not end
    POD_DOES_NOT_END = "PodDoesNotEnd"
    # a stage that ended without telling why
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    EVICTED = "Evicted"
    CONTAINER_FAILED = "ContainerFailed"
    JOB_FAILED = "JobFailed"
    JOB_DELETED = "JobDeleted"
    RESULT_MALFORMED = "ResultMalformed"
    # not failures
    RETRYING = "Retrying"
    QUEUED = "QueuedByKueue"
    RECOVERING_RESULT = "ReportingAgain"
    NETWORK_POLICY_PRESENT = "NetworkPolicyPresent"
    NETWORK_POLICY_MISSING = "NetworkPolicyMissing"
    DATASET_VERIFIED = "DatasetVerified"
    DATASET_NOT_CHECKED = "NotCheckedYet"
    SUSPEND_REQUESTED = "SuspendRequested"
    NOT_SUSPENDED = "NotSuspended"
    IN_PROGRESS = "InProgress"
    RUN_FAILED = "RunFailed"
    RUN_COMPLETE = "RunComplete"


class EventReason(StrEnum):
    """Why an Event was posted."""

    STAGE_STARTED = "StageStarted"
    STAGE_WAITING = "StageWaiting"
    STAGE_RETRYING = "StageRetrying"
    STAGE_SUCCEEDED = "StageSucceeded"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    COMPLETE = "Complete"
    SCHEDULE_SKIPPED = "ScheduleSkipped"


ReasonText = str
"""A Reason or an OperatorReason, as it stands in the status."""

MESSAGE_MAX: Final = 1000
"""Characters of any message in the status; the CRD allows a few more."""


def shorten(text: str, limit: int = MESSAGE_MAX) -> str:
    """Keep both ends of a text that is too long: the cause stands first, the remedy last."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def _as_clause(text: str) -> str:
    """Take a foreign sentence into one of ours."""
    return text.strip().rstrip(".")


def sentences(*parts: str) -> str:
    """Join sentences, each with its full stop, within the bounds of a message; the last one is never cut."""
    rest = parts[-1]
    first = shorten(" ".join(f"{_as_clause(part)}." for part in parts[:-1]), MESSAGE_MAX - len(rest) - 1)
    return f"{first} {rest}"


def log_location(artifact_path: str, job: str | None, namespace: str) -> str:
    """Say where the whole log is: on the volume for good, in the cluster while the pod is there."""
    in_cluster = f", or: kubectl logs -n {namespace} job/{job}" if job else ""
    return f"Log: {artifact_path}/{STDERR_FILE}{in_cluster}"


def unschedulable(stage: Stage, detail: str) -> str:
    """Say that no node takes the pod."""
    return (
        f"no node can take the pod: {_as_clause(detail)}. "
        f"Lower stages.{stage}.resources, correct its nodeSelector and tolerations, or add a node"
    )


def claim_unusable(claim: str, namespace: str, detail: str) -> str:
    """Say that the claim is there, and that there is no volume behind it."""
    return (
        f'the PersistentVolumeClaim "{claim}" in namespace "{namespace}" cannot be used: '
        f"{_as_clause(detail)}. "
        f"See: kubectl describe pvc -n {namespace} {claim}"
    )


def volume_not_mounted(claim: str, detail: str) -> str:
    """Say that the node cannot bring the volume into the pod."""
    return f'the volume behind the PersistentVolumeClaim "{claim}" cannot be mounted: {detail}'


def claim_missing(claim: str, namespace: str) -> str:
    """Say that the volume is not there."""
    return (
        f'the PersistentVolumeClaim "{claim}" is not in namespace "{namespace}". '
        "Create it, or name another one in storage.claimName"
    )


def image_unavailable(image: str, detail: str) -> str:
    """Say that the node cannot get the image."""
    return (
        f'the image "{image}" cannot be pulled: {detail}. '
        "Correct spec.image, or name the registry's credentials in spec.imagePullSecrets"
    )


def container_cannot_start(detail: str) -> str:
    """Say that the node has the image but cannot start it."""
    return f"the container cannot be started: {detail}"


def template_missing(name: str, key: str, namespace: str, detail: str) -> str:
    """Say that the user's own template is not where the spec says."""
    return (
        f'the workflow template is entry "{key}" of ConfigMap "{name}" in namespace "{namespace}": '
        f"{_as_clause(detail)}. Create it there, or correct workflow.configMapRef"
    )


def no_pod(job: str, namespace: str) -> str:
    """Say that the Job controller made no pod."""
    return (
        f'the Job "{job}" has no pod; a quota or an admission policy may refuse it. '
        f"See: kubectl describe job -n {namespace} {job}"
    )


def starting_slowly() -> str:
    """Say that the pod has a node, and that nothing tells what it waits for."""
    return "the pod has a node but its container does not start; its volume may not be attached"


def timed_out(seconds: int, detail: str) -> str:
    """Say that waiting was given up."""
    return f"not started after {seconds} s: {detail}"


def job_rejected(detail: str) -> str:
    """Say that the API server refused the Job."""
    return f"the API server refuses the stage's Job: {detail}"


def quota_exceeded(stage: Stage, namespace: str, detail: str) -> str:
    """Say that the namespace has no room."""
    return (
        f'a ResourceQuota of namespace "{namespace}" leaves no room: {_as_clause(detail)}. '
        f"Change stages.{stage}.resources, delete what is no longer needed, or raise the quota"
    )


def pod_refused(namespace: str, detail: str) -> str:
    """Say that the namespace does not admit the pod."""
    return (
        f'namespace "{namespace}" does not admit the pod: {_as_clause(detail)}. '
        "Change its Pod Security labels, its LimitRange or its admission policy, or what the run asks for"
    )


def job_deleted(job: str, times: int) -> str:
    """Say that somebody took the Job away once too often."""
    return (
        f'the Job "{job}" was deleted by hand {times} times before it ended. Apply the run again under a new '
        "name, and set spec.suspend to hold a run up"
    )


def job_recreated(job: str) -> str:
    """Say that somebody took the Job away, and that it is made once more."""
    return f'the Job "{job}" was deleted by hand before it ended; it is made once more'


def queued(queue: str, namespace: str) -> str:
    """Say who decides when the Job starts."""
    return (
        f'Kueue has not admitted the Job yet, by LocalQueue "{queue}". '
        f"See: kubectl get localqueues,workloads -n {namespace}"
    )


def recovering_result(stage: Stage, *, failed: bool = False) -> str:
    """Say that a small Job reads the result from the run folder."""
    how = "failed, and" if failed else "ended well but"
    return f"stage {stage} {how} its pod is gone; its result is read again from the run folder"


def network_closed() -> str:
    """Say what keeps the training stage to itself."""
    return "a NetworkPolicy keeps the qrun stage from the network"


def network_open(namespace: str) -> str:
    """Say what is missing, and what is left."""
    return (
        f'no NetworkPolicy in namespace "{namespace}" keeps the qrun stage from the network; only the '
        f"runner's own guard does. Run: kubectl apply -n {namespace} -f manifests/network-policy/qrun.yaml"
    )


def job_name_taken(job: str) -> str:
    """Say that somebody else's Job has the name."""
    return f'a Job named "{job}" exists and does not belong to this run. Delete it, or rename the run'


def pod_does_not_end(pod: str, node: str, namespace: str) -> str:
    """Say that a pod was to stop, and that its node does not say that it has."""
    return (
        f'the pod "{pod}" was to end and has not: its node "{node}" does not answer, or cannot stop it. '
        "Another attempt begins once it is gone. If the node is lost: "
        f"kubectl delete node {node}, or: kubectl delete pod -n {namespace} {pod} --force"
    )


def deadline_exceeded_by_pod(stage: Stage, seconds: int, stuck: str) -> str:
    """Say that the Job's active deadline has passed while its pod did not end."""
    return f"{_past_deadline(stage, seconds)}: {stuck}"


def deadline_exceeded(stage: Stage, seconds: int, waiting: str | None) -> str:
    """Say that the Job's active deadline has passed."""
    what = _past_deadline(stage, seconds)
    why = f"; it never started: {waiting}" if waiting else ""
    return f"{what}{why}. Raise stages.{stage}.activeDeadlineSeconds, or give the stage more CPU"


def _past_deadline(stage: Stage, seconds: int) -> str:
    return f"stage {stage} did not finish within its {seconds} s deadline"


def out_of_memory(stage: Stage, limit: str | None, tail: str = "") -> str:
    """Say that the kernel killed the container."""
    last = f" The log ends with: {_as_clause(tail)}." if tail else ""
    of = f" of {limit}" if limit else ""
    return (
        f"stage {stage} was killed for using more memory than its limit{of}.{last} "
        f"Raise stages.{stage}.resources.limits.memory, or use fewer instruments or a shorter history"
    )


def interrupted() -> str:
    """Say that somebody stopped the pod."""
    return "the attempt was stopped from outside; its pod was deleted, or its node shut down"


def evicted(detail: str) -> str:
    """Say that the node threw the pod out."""
    return f"the cluster took the pod away: {_as_clause(detail) or 'its node ran short of a resource'}"


def container_failed(exit_code: int, tail: str) -> str:
    """Say that the process left no result behind."""
    return f"exit code {exit_code} without a result" + (f"; the log ends with: {tail}" if tail else "")


def job_failed(reason: str, detail: str, recorded_cause: str) -> str:
    """Say all that is known: what the Job says, and the run folder."""
    says = f"the Job failed with {reason or 'no reason'}: {_as_clause(detail) or 'no message'}"
    return f"{says}; its pod is gone, and {recorded_cause}"


def result_missing(stage: Stage, detail: str) -> str:
    """Say that the stage succeeded, and that nobody knows with what."""
    return (
        f"stage {stage} ended well, but its pod was deleted before its result was read, and the run folder "
        f"does not tell it: {_as_clause(detail)}. Apply the run again under a new name; the dataset is kept"
    )


def result_malformed(stage: Stage, detail: str) -> str:
    """Say that the stage told something that is no result."""
    return (
        f"stage {stage} ended well but its result cannot be read: {detail}. "
        "Set spec.image to a qlib-runner of the operator's version"
    )


def attempt_vanished(attempt: int) -> str:
    """Say that an attempt is gone without a trace, and another one is made."""
    return (
        f"attempt {attempt}; the pod of the one before is gone: it was deleted, or its node is lost. "
        "That does not count as a retry"
    )


def retrying(attempt: int, reason: ReasonText, message: str) -> str:
    """Say that an attempt failed and another one is made."""
    return shorten(f"attempt {attempt}; the one before ended with {reason}: {message}")
