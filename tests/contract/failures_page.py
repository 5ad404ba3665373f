"""Writes docs/failures.md: every reason of the runner and the operator, what it means, what to do about it.

The names, and whether an attempt is repeated, come from the constants; one without an entry here is an error.
Run it with `python -m tests.contract.failures_page`.
"""

# ruff: noqa: E501 - a table reads best in rows
from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import USER_ERRORS, ExitCode, Reason
from qlib_shadow_runner.errors import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = Path(__file__).parents[2] / "docs" / "failures.md"

STAGE: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.INVALID_SPEC: ("The spec asks for what cannot be.", "Correct the field that the message names."),
    Reason.INVALID_WORKFLOW: (
        "The workflow template, or what it renders to, is not one that may be run.",
        "Correct the template at the place that the message names; `qlib-shadow run` tries it without a cluster.",
    ),
    Reason.TEMPLATE_NOT_FOUND: (
        "No built-in template has this name, or the ConfigMap of `workflow.configMapRef` lacks it.",
        "Correct the name. A ConfigMap may also be created while the stage waits for it.",
    ),
    Reason.BENCHMARK_NOT_FOUND: (
        "The dataset has no such instrument.",
        "Set `workflow.benchmark` to one that it has, or leave it to `auto`.",
    ),
    Reason.MARKET_NOT_FOUND: (
        "The dataset has no such file of instruments.",
        "Set `workflow.market` to one that it has, or leave it to `auto`.",
    ),
    Reason.SEGMENTS_INVALID: (
        "`workflow.segments` do not lie in the dataset's calendar.",
        "Correct the dates, or leave the segments out.",
    ),
    Reason.DATASET_MISSING: (
        "There is no dataset, and nothing that would bring one.",
        "Put one at `dataset.path`, or name a `dataset.source`. Of a `dataset.version`, the message lists those that are there.",
    ),
    Reason.DATASET_INVALID: (
        "The dataset, or what it is made from, is broken or empty.",
        "Correct the file that the message names, or take the check out of `dataset.quality.block`.",
    ),
    Reason.DATASET_STALE: (
        "The dataset's last day is older than `dataset.maxAgeDays`.",
        "Bring newer data, or raise `dataset.maxAgeDays`.",
    ),
    Reason.DATASET_TOO_SHORT: (
        "The calendar leaves no room for training, validation and test.",
        "Bring a longer history, or set `workflow.segments`.",
    ),
    Reason.DATASET_LOCKED: (
        "Another run has been building the same dataset for longer than this one waits.",
        "Look at the run that the message names.",
    ),
    Reason.DOWNLOAD_FAILED: (
        "The network, or the server, did not deliver.",
        "If it stays so: check the address, the proxy and the server.",
    ),
    Reason.DOWNLOAD_REFUSED: (
        "The server said no, or is not whom it claims to be.",
        "Correct the address, the Secret of `credentialsSecret`, or the certificates.",
    ),
    Reason.CHECKSUM_MISMATCH: (
        "What was delivered is not what `sha256` promises.",
        "Correct `sha256` if you trust the file, else the address.",
    ),
    Reason.ARCHIVE_INVALID: (
        "The archive cannot be unpacked, or holds what no dataset holds.",
        "Pack calendars, features and instruments into a zip or tar file.",
    ),
    Reason.VOLUME_NOT_WRITABLE: (
        "The user that the stages run as cannot write to the volume.",
        "Give the volume to the UID:GID that the message names.",
    ),
    Reason.RUN_FOLDER_TAKEN: (
        "The run's folder belongs to another run.",
        "Choose another `runId`, or move the folder away.",
    ),
    Reason.SUPERSEDED: (
        "Another attempt has taken the run's folder over, while this one was thought to be gone.",
        "Nothing: the run goes on there.",
    ),
    Reason.OUT_OF_DISK: (
        "The volume is full.",
        "Free space (`qlib-shadow prune`, `qlib-shadow cache clear`), or enlarge it.",
    ),
    Reason.OUT_OF_MEMORY: (
        "The stage used more memory than its limit.",
        "Raise `stages.<stage>.resources.limits.memory`, or use fewer instruments or a shorter history.",
    ),
    Reason.INTERRUPTED: (
        "The attempt was stopped from outside: its pod was deleted, or its node shut down. Not counted.",
        "Nothing: another attempt is made.",
    ),
    Reason.TRAINING_FAILED: (
        "qrun ended with an error, which the message quotes.",
        "Read the log; correct the template or the model's parameters.",
    ),
    Reason.OUTPUT_INCOMPLETE: (
        "qrun ended well but did not leave what a run must leave.",
        "A template must keep the records of signal, signal analysis and portfolio analysis.",
    ),
    Reason.RESULT_MISSING: (
        "The stage ended well, its pod is gone, and the run folder does not tell its result.",
        "Apply the run again under a new name; its dataset is used again.",
    ),
    Reason.SHADOW_PROMISE_BROKEN: (
        "Something tried to trade or to reach the network.",
        "Remove it from the image or the template; the message names the program. There is no way to allow it.",
    ),
    Reason.INTERNAL_ERROR: (
        "A defect of qlib-shadow, or one that looks like it.",
        "Report it with stderr.log.",
    ),
}
"""What a stage itself reports."""

OPERATOR: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.UNSCHEDULABLE: (
        "No node can take the pod.",
        "Lower `stages.<stage>.resources`, correct `nodeSelector` and `tolerations`, or add a node.",
    ),
    OperatorReason.CLAIM_MISSING: (
        "The namespace has no such PersistentVolumeClaim.",
        "Create it, or name another one in `storage.claimName`.",
    ),
    OperatorReason.CLAIM_UNUSABLE: (
        "The claim has no volume, or is being deleted.",
        "`kubectl describe pvc` says what it waits for.",
    ),
    OperatorReason.VOLUME_NOT_MOUNTED: (
        "The node cannot attach or mount the volume.",
        "Correct the volume, or wait until another node lets go of it.",
    ),
    OperatorReason.IMAGE_UNAVAILABLE: (
        "The node cannot pull the image.",
        "Correct `spec.image`, or name the registry's credentials in `imagePullSecrets`.",
    ),
    OperatorReason.CONTAINER_CANNOT_START: (
        "The node has the image but cannot start the container.",
        "The message quotes the kubelet.",
    ),
    OperatorReason.QUOTA_EXCEEDED: (
        "A ResourceQuota leaves no room for the Job or its pod.",
        "Lower `stages.<stage>.resources`, delete what is no longer needed, or raise the quota.",
    ),
    OperatorReason.POD_REFUSED: (
        "The namespace does not admit the pod: Pod Security, a LimitRange, an admission policy.",
        "Change the namespace, or what the run asks for.",
    ),
    OperatorReason.JOB_REJECTED: (
        "The API server refuses the Job; where that is for ever, the run fails at once.",
        "Correct what the message quotes.",
    ),
    OperatorReason.NO_POD: (
        "The Job has no pod, and nothing tells why.",
        "`kubectl describe job`; see whether the Job controller works.",
    ),
    OperatorReason.START_TIMED_OUT: (
        "The pod has a node, does not start, and nothing tells why.",
        "`kubectl describe pod`; see to the node.",
    ),
}
"""What keeps a stage from starting."""

ENDLESS: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.POD_DOES_NOT_END: (
        "The pod was deleted, and its node does not say that it has ended. Kubernetes makes no other one beside it.",
        "If the node is lost: `kubectl delete node`, or `kubectl delete pod --force`.",
    ),
}
"""What keeps a stage from ending."""

ENDED: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.DEADLINE_EXCEEDED: (
        "The stage did not finish within its deadline, all attempts together.",
        "Raise `stages.<stage>.activeDeadlineSeconds`, or give the stage more CPU.",
    ),
    OperatorReason.EVICTED: (
        "The cluster took the pod away: eviction, preemption, a lost node. Not counted.",
        "Nothing: another attempt is made.",
    ),
    OperatorReason.CONTAINER_FAILED: (
        "The process ended badly and left no result; the message quotes its log's last lines.",
        "Read them. Often `spec.image` is not a qlib-runner.",
    ),
    OperatorReason.JOB_FAILED: (
        "The Job failed and its pod is gone: the message says what the Job and the run folder tell.",
        "Read the log on the volume.",
    ),
    OperatorReason.JOB_DELETED: (
        "Somebody deleted the stage's Job, and then the one that took its place.",
        "Apply the run again under a new name; `spec.suspend` holds a run up.",
    ),
    OperatorReason.RESULT_MALFORMED: (
        "The stage ended well but what it told is no result of this run.",
        "Set `spec.image` to a qlib-runner of the operator's version.",
    ),
}
"""How a stage ends without telling why."""

NO_FAILURES: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.RETRYING: ("An attempt failed, or its Job was deleted, and another one is made.", ""),
    OperatorReason.QUEUED: (
        "Kueue has not admitted the Job yet; nobody's patience runs out.",
        "`kubectl get localqueues,workloads`; without Kueue, leave `queueName` out.",
    ),
    OperatorReason.RECOVERING_RESULT: (
        "A small Job reads the result of a stage that ended well from the run folder.",
        "",
    ),
    OperatorReason.NETWORK_POLICY_PRESENT: (
        "`NetworkClosed`: a NetworkPolicy keeps qrun from the network.",
        "",
    ),
    OperatorReason.NETWORK_POLICY_MISSING: (
        "`NetworkClosed`: none does; the runner's own guard is what is left. The run goes on.",
        "`kubectl apply -n NAMESPACE -f manifests/network-policy/qrun.yaml`",
    ),
    OperatorReason.DATASET_VERIFIED: ("`DatasetReady`: the dataset was verified.", ""),
    OperatorReason.DATASET_NOT_CHECKED: ("`DatasetReady`: the download stage is not done.", ""),
    OperatorReason.SUSPEND_REQUESTED: ("`Suspended`: `spec.suspend` is true.", "Set it to false to go on."),
    OperatorReason.NOT_SUSPENDED: ("`Suspended`: it is not.", ""),
    OperatorReason.IN_PROGRESS: ("`Complete` and `Failed`: neither yet.", ""),
    OperatorReason.RUN_COMPLETE: ("All stages succeeded.", ""),
    OperatorReason.RUN_FAILED: ("`Complete`: never; see `Failed`.", ""),
}
"""What is no failure."""

TEXT: Final = """\
# Reasons

Generated by `python -m tests.contract.failures_page` from the constants of the runner and the operator.

A failed run says in `kubectl describe qsr`, in the condition `Failed` and in an Event: the reason, and a sentence
with the cause, the place, the remedy, and where the whole log is. The log lies on the volume for good, in the
run's folder; `kubectl logs` has it while the pod is there.

## A stage says why it failed

| reason | tried again | what it means | what to do |
|---|---|---|---|
{stage}

"Tried again" is by the stage's Job, `stages.<stage>.retries` times, each time later.

## A stage does not start

The stage is `Waiting` for this reason and goes on by itself when the cause is gone. Past the operator's start
timeout (`QLIB_SHADOW_START_TIMEOUT_SECONDS`, 30 minutes) the run fails for it.

| reason | what it means | what to do |
|---|---|---|
{waits}

## A stage does not end

The stage is `Waiting` for this reason from a minute past its pod's grace period until the pod is gone; then another
attempt is made. Past the stage's deadline the run fails with `DeadlineExceeded`, whether the pod is gone or not.

| reason | what it means | what to do |
|---|---|---|
{endless}

## A stage ends without saying why

| reason | what it means | what to do |
|---|---|---|
{ended}

## What is no failure

| reason | what it means | what to do |
|---|---|---|
{others}

## What is taken away

| what | what happens |
|---|---|
| a pod is deleted, evicted or preempted | another attempt, which does not count as a retry |
| a node is lost | the same, once its pods are gone: by themselves where the node leaves the cluster, else see `PodDoesNotEnd` |
| a stage's Job is deleted | it is made once more; the second time the run fails with `JobDeleted` |
| a finished stage's pod is deleted before its result was read | one short Job reads the result from the run folder |
| a finished stage's Job is deleted | nothing; what the status once said of a stage stays |
| the run is deleted | its Jobs and pods go with it; what is on the volume stays |
| the namespace is deleted | everything goes with it; the operator leaves the runs in it alone |
"""


def page() -> str:
    """Write the page."""
    return TEXT.format(
        stage="\n".join(_stage_row(*one) for one in STAGE.items()),
        waits=_rows(OPERATOR),
        endless=_rows(ENDLESS),
        ended=_rows(ENDED),
        others=_rows(NO_FAILURES),
    )


def _stage_row(reason: Reason, told: tuple[str, str]) -> str:
    return f"| `{reason}` | {tried_again(EXIT_CODES[reason])} | {told[0]} | {told[1]} |"


def tried_again(code: ExitCode) -> str:
    """Say what the Jobs' podFailurePolicy makes of an exit code."""
    if code in USER_ERRORS:
        return "no"
    return "always" if code is ExitCode.INTERRUPTED else "yes"


def _rows(told: Mapping[OperatorReason, tuple[str, str]]) -> str:
    return "\n".join(f"| `{reason}` | {means} | {remedy} |" for reason, (means, remedy) in told.items())


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"written: {PAGE}\n")
