"""The operator's own reasons and their sentences; the runner's are passed on unchanged.

A message names the cause, the place and the remedy. Only this module, start_reasons and pod_sentences word a
failure.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import STDERR_FILE, Stage, deadlines, escapes
from qlib_shadow_runner.contract.deadlines import more_time, past_deadline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class OperatorReason(StrEnum):
    """Reasons that the operator itself finds; a runner's Reason may appear in the same places."""

    # a stage that does not start
    UNSCHEDULABLE = "Unschedulable"
    CLAIM_MISSING = "VolumeClaimMissing"
    CLAIM_UNUSABLE = "VolumeClaimUnusable"
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    NO_POD = "NoPod"
    BACK_OFF = "BackOff"
    START_TIMED_OUT = "StartTimedOut"
    JOB_REJECTED = "JobRejected"
    JOB_NAME_TAKEN = "JobNameTaken"
    JOB_NOT_CREATED = "JobNotCreated"
    JOB_NOT_CHANGED = "JobNotChanged"
    NOT_ALLOWED = "NotAllowed"
    NETWORK_POLICY_UNREAD = "NetworkPolicyUnread"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    # a stage that does not end
    POD_DOES_NOT_END = "PodDoesNotEnd"
    # a stage that ended without a result
    DEADLINE_EXCEEDED = deadlines.DEADLINE_EXCEEDED
    EVICTED = "Evicted"
    OUT_OF_SCRATCH = "OutOfScratch"
    NODE_REFUSED = "NodeRefused"
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
    GATES_OPEN = "GatesOpen"
    GATES_CLOSED = "GatesClosed"
    RUN_FAILED = "RunFailed"
    RUN_COMPLETE = "RunComplete"


class EventReason(StrEnum):
    """The reason of an Event."""

    STAGE_STARTED = "StageStarted"
    STAGE_WAITING = "StageWaiting"
    STAGE_RETRYING = "StageRetrying"
    STAGE_SUCCEEDED = "StageSucceeded"
    LEDGER_RECORDED = "LedgerRecorded"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    COMPLETE = "Complete"
    SCHEDULE_SKIPPED = "ScheduleSkipped"


ReasonText = str
"""A Reason or an OperatorReason, as the status holds it."""

ALLOWED_SHOWN: Final = 5
"""The allowed values that a sentence lists."""
ALLOWED_VALUE_MAX: Final = 200
MESSAGE_MAX: Final = 1000
"""Characters of a message in the status; the CRD allows a few more."""


def shorten(text: str, limit: int = MESSAGE_MAX) -> str:
    """Return a text for the status: in one line, escaped, and with its middle cut where it is too long.

    Images, the kubelet and the API server's plug-ins may have written it.
    """
    return escapes.shorten(escapes.in_one_line(text), limit)


def as_clause(text: str) -> str:
    """Return a foreign sentence without its full stop."""
    return text.strip().rstrip(".")


def sentences(*parts: str) -> str:
    """Join sentences within the length of a message, each with its full stop; the last one is never cut."""
    rest = parts[-1]
    first = shorten(" ".join(f"{as_clause(part)}." for part in parts[:-1]), MESSAGE_MAX - len(rest) - 1)
    return f"{first} {rest}"


def log_location(artifact_path: str | None, job: str | None, namespace: str) -> str:
    """Return where the whole log is: on the volume for good, in the cluster while the pod exists."""
    on_volume = [f"{artifact_path}/{STDERR_FILE}"] if artifact_path else []
    in_cluster = [f"kubectl logs -n {namespace} job/{job}"] if job else []
    return f"Log: {', or: '.join([*on_volume, *in_cluster])}"


def unschedulable(stage: Stage, detail: str, placement: str) -> str:
    """No node can take the pod; `placement` says who decides about where it may run."""
    return sentences(
        f"no node can take the pod: {detail}",
        f"Lower stages.{stage}.resources, correct the nodeSelector, tolerations, affinity or "
        f"topologySpreadConstraints of {placement}, or add a node",
    )


def claim_unusable(claim: str, namespace: str, detail: str) -> str:
    """The claim exists but has no usable volume."""
    return (
        f'the PersistentVolumeClaim "{claim}" in namespace "{namespace}" cannot be used: '
        f"{as_clause(detail)}. "
        f"See: kubectl describe pvc -n {namespace} {claim}"
    )


def claim_missing(claim: str, namespace: str, field: str) -> str:
    """The claim does not exist."""
    return (
        f'the PersistentVolumeClaim "{claim}" is not in namespace "{namespace}". '
        f"Create it, or name another one in {field}"
    )


def not_allowed(where: str, value: str, allowed: Sequence[str], setting: str) -> str:
    """The run chooses something that the installer has not allowed."""
    named = ", ".join(f'"{one}"' for one in allowed[:ALLOWED_SHOWN])
    more = f" and {len(allowed) - ALLOWED_SHOWN} more" if len(allowed) > ALLOWED_SHOWN else ""
    only = f"only {named}{more}" if allowed else "none"
    return (
        f'{where} has "{shorten(value, ALLOWED_VALUE_MAX)}", but the operator allows {only}. '
        f"Leave it out, or have it added to allowed.{setting} by those who installed the operator"
    )


def labels_open_the_network(stage: Stage, namespace: str) -> str:
    """A label that the run has chosen is selected by a NetworkPolicy that allows egress."""
    return (
        f'spec.stages.{stage}.labels has a label by which a NetworkPolicy of namespace "{namespace}" '
        f"opens the network, which stays closed for stage {stage}. Leave that label out"
    )


def policies_unread(stage: Stage, namespace: str) -> str:
    """The NetworkPolicies cannot be read, by which a label that the run has chosen may open the network."""
    return (
        f'the NetworkPolicies of namespace "{namespace}" cannot be read, so a label of '
        f"spec.stages.{stage}.labels may open the network. Let the operator list them there, as its Role "
        "does, or apply the run again without labels"
    )


def timed_out(seconds: int, detail: str) -> str:
    """The start timeout has passed."""
    return f"not started after {seconds} s: {detail}"


def quota_exceeded(stage: Stage, namespace: str, detail: str) -> str:
    """A ResourceQuota leaves no room."""
    # A quota on the number of objects leaves no more room to a smaller one.
    counted = re.search(r"requested: (?![^:]*(cpu|memory|storage|/gpu))", detail)
    remedy = "Delete" if counted else f"Change stages.{stage}.resources, delete"
    return (
        f'a ResourceQuota of namespace "{namespace}" leaves no room: {as_clause(detail)}. '
        f"{remedy} what is no longer needed, or raise the quota"
    )


def job_deleted(job: str, times: int) -> str:
    """The Job was deleted by hand again after it was recreated."""
    return (
        f'the Job "{job}" was deleted by hand {times} times before it ended. Apply the run again under a new '
        "name, and set spec.suspend to pause a run"
    )


def job_recreated(job: str) -> str:
    """The Job was deleted by hand, and is recreated."""
    return f'the Job "{job}" was deleted by hand before it ended; it is recreated once'


def queued(queue: str, namespace: str) -> str:
    """Kueue decides when the Job starts."""
    return (
        f'Kueue has not admitted the Job yet, by LocalQueue "{queue}". '
        f"See: kubectl get localqueues,workloads -n {namespace}"
    )


def recovering_result(stage: Stage, *, failed: bool = False) -> str:
    """A recovery Job reads the result from the run folder."""
    how = "failed, and" if failed else "succeeded but"
    return f"stage {stage} {how} its pod is gone; its result is read from the run folder"


def network_closed(stages: Sequence[Stage]) -> str:
    """A NetworkPolicy closes the network for every stage that has none."""
    return f"a NetworkPolicy blocks the network for {_the_stages(stages)}"


def _the_stages(stages: Sequence[Stage]) -> str:
    return f"the {stages[0]} stage" if len(stages) == 1 else f"the stages {' and '.join(stages)}"


def network_open(namespace: str, stages: Sequence[Stage]) -> str:
    """No NetworkPolicy closes the network for a stage that has none."""
    return (
        f'no NetworkPolicy in namespace "{namespace}" blocks the network for {_the_stages(stages)}; only the '
        f"runner's own guard does. Run: kubectl apply -n {namespace} -f manifests/network-policy/qrun.yaml"
    )


def gates_open(book: str, day: str) -> str:
    """All gates of the book are open."""
    return f"book {book}: every gate was open for {day}"


def gates_closed(names: str, told: str) -> str:
    """A gate of the book is closed, or only lets sales pass; the stage has told which figure and limit."""
    return f"{names.replace(',', ', ') or 'a gate'}: {as_clause(told)}"


def ledger_recorded(ledger: Mapping[str, object], told: str) -> str:
    """The book has an entry of this run's day, and this head."""
    return (
        f"{as_clause(told)}; head of the book {ledger.get('book')} is {ledger.get('head')}, "
        f"entry {ledger.get('entries')}"
    )


def pod_does_not_end(pod: str, node: str, namespace: str) -> str:
    """The pod was told to stop, and its node does not report that it has."""
    return (
        f'the pod "{pod}" was told to stop and has not: its node "{node}" does not answer or cannot stop it. '
        "Another attempt starts once it is gone. If the node is lost: "
        f"kubectl delete node {node}, or: kubectl delete pod -n {namespace} {pod} --force"
    )


def deadline_exceeded_by_pod(stage: Stage, seconds: int, stuck: str) -> str:
    """The Job's active deadline has passed while its pod did not stop."""
    return f"{past_deadline(stage, seconds)}: {stuck}"


def deadline_exceeded(stage: Stage, seconds: int, waiting: str | None) -> str:
    """The Job's active deadline has passed."""
    if waiting:
        return f"{past_deadline(stage, seconds)}; it never started: {waiting}"
    return f"{past_deadline(stage, seconds)}. {more_time(stage)}"


def out_of_memory(stage: Stage, limit: str | None, tail: str = "") -> str:
    """The kernel killed the container."""
    last = f" The log ends with: {as_clause(tail)}." if tail else ""
    of = f" of {limit}" if limit else ""
    return (
        f"stage {stage} was killed for using more memory than its limit{of}.{last} "
        f"Raise stages.{stage}.resources.limits.memory, or use fewer instruments or a shorter history"
    )


def interrupted() -> str:
    """The pod was stopped from outside."""
    return "the attempt was stopped from outside; its pod was deleted, or its node shut down"


def evicted(detail: str) -> str:
    """The node or the cluster evicted the pod."""
    return f"the cluster removed the pod: {as_clause(detail)}"


def container_failed(exit_code: int, tail: str, image_field: str) -> str:
    """The process left no result."""
    ends = f"; the log ends with: {as_clause(tail)}" if tail else ""
    return (
        f"exit code {exit_code} without a result{ends}. "
        f"Read the log; if it is not of a qlib-runner, correct {image_field}"
    )


def job_failed(reason: str, detail: str, recorded_cause: str) -> str:
    """All that is known of a failed Job without a pod: what the Job and the run folder say."""
    says = f"the Job failed with {reason or 'no reason'}: {as_clause(detail) or 'no message'}"
    return f"{says}; its pod is gone, and {as_clause(recorded_cause)}. Apply the run again under a new name"


def result_missing(stage: Stage, detail: str) -> str:
    """The stage succeeded, and its result is lost."""
    return (
        f"stage {stage} succeeded, but its pod was deleted before its result was read, and the run folder "
        f"has no result: {as_clause(detail)}. Apply the run again under a new name; the dataset is kept"
    )


def result_malformed(stage: Stage, detail: str, image_field: str) -> str:
    """The stage's termination message is not a result."""
    return (
        f"stage {stage} succeeded but its result cannot be read: {as_clause(detail)}. "
        f"Set {image_field} to a qlib-runner of the operator's version"
    )


def attempt_vanished(attempt: int) -> str:
    """An attempt's pod is gone without a trace; another attempt is made."""
    return (
        f"attempt {attempt}; the pod of the one before is gone: it was deleted, evicted or preempted, or its "
        "node is lost. That does not count as a retry"
    )


def retrying(attempt: int, reason: ReasonText, message: str) -> str:
    """An attempt failed; another one is made."""
    return shorten(f"attempt {attempt}; the one before ended with {reason}: {message}")
