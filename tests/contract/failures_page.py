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
    Reason.INVALID_SPEC: (
        "The spec is contradictory or out of range, or the Secret of `credentialsSecret` is missing.",
        "Correct the field, or create the Secret, that the message names.",
    ),
    Reason.INVALID_WORKFLOW: (
        "The workflow template, or the workflow rendered from it, is not allowed. What needs no data is found before the download.",
        "Correct the template at the place that the message names; `qlib-shadow run` tries it without a cluster.",
    ),
    Reason.TEMPLATE_NOT_FOUND: (
        "No built-in template has this name, or the ConfigMap of `workflow.configMapRef` lacks it. The first stage says so.",
        "Correct the name. A ConfigMap may also be created while the stage waits for it.",
    ),
    Reason.BENCHMARK_NOT_FOUND: (
        "The dataset has no such instrument.",
        "Set `workflow.benchmark` to one that it has, or leave it to `auto`.",
    ),
    Reason.MARKET_NOT_FOUND: (
        "The dataset has no such instruments file.",
        "Set `workflow.market` to one that it has, or leave it to `auto`.",
    ),
    Reason.SEGMENTS_INVALID: (
        "`workflow.segments` do not lie in the dataset's calendar.",
        "Correct the dates, or leave the segments out.",
    ),
    Reason.MODEL_REFUSED: (
        "The model of the run in `workflow.model.from` cannot be used: there is none, it is damaged, or its recipe, fields or days do not fit.",
        "Correct what the message names, name another run, or leave `from` out.",
    ),
    Reason.DATASET_MISSING: (
        "There is no dataset, and no source for one.",
        "Put one at `dataset.path`, or name a `dataset.source`. Of a `dataset.version`, the message lists those that are there.",
    ),
    Reason.DATASET_INVALID: (
        "The dataset, or what it is made from, is broken or empty.",
        "Correct the file that the message names, or remove the check from `dataset.quality.block`.",
    ),
    Reason.DATASET_STALE: (
        "The dataset's last day is older than `dataset.maxAgeDays`.",
        "Provide newer data, or raise `dataset.maxAgeDays`.",
    ),
    Reason.DATASET_TOO_SHORT: (
        "The calendar is too short for training, validation and test.",
        "Provide a longer history, or set `workflow.segments`.",
    ),
    Reason.DATASET_LOCKED: (
        "Another run has been building the same dataset for longer than this one waits.",
        "Look at the run that the message names.",
    ),
    Reason.DOWNLOAD_FAILED: (
        "The network or the server failed.",
        "If it persists: check the address, the proxy and the server.",
    ),
    Reason.DOWNLOAD_REFUSED: (
        "The server refused the request, its certificate is not trusted, or it is too slow for the stage's deadline.",
        "Correct the address, the Secret of `credentialsSecret`, or the certificates; raise `stages.download.activeDeadlineSeconds`.",
    ),
    Reason.CHECKSUM_MISMATCH: (
        "The downloaded file does not match `sha256`.",
        "Correct `sha256` if you trust the file, else the address.",
    ),
    Reason.ARCHIVE_INVALID: (
        "The archive is not whole, asks for too much, or is not a dataset.",
        "Fetch it again, or pack calendars, features and instruments into a zip or tar file.",
    ),
    Reason.VOLUME_NOT_WRITABLE: (
        "The user that the stages run as cannot write to the volume, or the volume is mounted read-only.",
        "Make the UID:GID that the message names the owner of the volume, or mount it for writing, as the message says.",
    ),
    Reason.RUN_FOLDER_TAKEN: (
        "The run's folder belongs to another run, whose name and namespace the message has.",
        "Choose another `runId`, or move the folder away.",
    ),
    Reason.SUPERSEDED: (
        "Another attempt has taken over the run's folder, because this one was assumed to have ended.",
        "Nothing: the run continues there.",
    ),
    Reason.OUT_OF_DISK: (
        "The volume is full.",
        "Free space (`qlib-shadow prune`, `qlib-shadow cache clear`), or enlarge it.",
    ),
    Reason.OUT_OF_MEMORY: (
        "The stage used more memory than its limit, or a file would need more.",
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
        "qrun succeeded but did not write all required outputs.",
        "A template must keep the records of signal, signal analysis and portfolio analysis.",
    ),
    Reason.RESULT_MISSING: (
        "The stage succeeded, its pod is gone, and the run folder has no result.",
        "Apply the run again under a new name; an existing dataset is reused.",
    ),
    Reason.SHADOW_PROMISE_BROKEN: (
        "Something tried to trade or to reach the network.",
        "Remove it from the image or the template; the message names the program. There is no way to allow it.",
    ),
    Reason.LEDGER_REFUSED: (
        "The run does not fit its book: the book has other capital or belongs to another namespace, its calendar or time zone is unknown, or nothing says its capital or what it holds. It is asked before anything is trained.",
        "Correct the field that the message names, or name another `ledger.book`.",
    ),
    Reason.LEDGER_LOCKED: (
        "Another run has been writing the same book for longer than this one waits.",
        "Look at the run that the message names.",
    ),
    Reason.LEDGER_DAMAGED: (
        "A file of the book is missing, changed or out of place, so that its chain does not hold. Nothing was written.",
        "See `qlib-shadow ledger verify`; bring the book back from a backup, or move its folder away and begin another.",
    ),
    Reason.INTERNAL_ERROR: (
        "Probably a defect of qlib-shadow.",
        "Report it with stderr.log.",
    ),
}
"""Reasons that a stage itself reports."""

OPERATOR: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.UNSCHEDULABLE: (
        "No node can take the pod.",
        "Lower `stages.<stage>.resources`, correct what the message names of the run or the chart (`nodeSelector`, `tolerations`, `affinity`, spread), or add a node.",
    ),
    OperatorReason.CLAIM_MISSING: (
        "The namespace has no such PersistentVolumeClaim.",
        "Create it, or name another one in the field of the run, or the setting of the chart, that the message names.",
    ),
    OperatorReason.CLAIM_UNUSABLE: (
        "The claim has no volume, or is being deleted.",
        "`kubectl describe pvc` says what it waits for.",
    ),
    OperatorReason.VOLUME_NOT_MOUNTED: (
        "The node cannot attach or mount the volume.",
        "Correct the volume, or wait until another node releases it.",
    ),
    OperatorReason.IMAGE_UNAVAILABLE: (
        "The node cannot pull the image.",
        "Correct the image, or name the registry's credentials, in the field of the run or the setting of the chart that the message names.",
    ),
    OperatorReason.CONTAINER_CANNOT_START: (
        "The node has the image but cannot start the container: its memory limit is too small, or the image is none of a qlib-runner.",
        "Raise the limit or correct the image, as the message says; otherwise it quotes the kubelet.",
    ),
    OperatorReason.QUOTA_EXCEEDED: (
        "A ResourceQuota has no room for the Job or its pod.",
        "Lower `stages.<stage>.resources`, delete what is no longer needed, or raise the quota.",
    ),
    OperatorReason.POD_REFUSED: (
        "The namespace does not admit the pod: Pod Security, a LimitRange, an admission policy; or the pod names a class or an account that does not exist.",
        "Change the namespace, or what the run requests; create what is missing, or correct the field that the message names.",
    ),
    OperatorReason.JOB_REJECTED: (
        "The API server refuses the Job; if the refusal is permanent, the run fails at once.",
        "Correct the field of the run, or the setting of the chart, that the message names.",
    ),
    OperatorReason.JOB_NAME_TAKEN: (
        "A Job of the stage's name exists and is not the run's.",
        "Delete it, or rename the run.",
    ),
    OperatorReason.JOB_NOT_CREATED: (
        "The API server, or an admission webhook that it asks (Kueue's, for example), does not work now.",
        "The message quotes the API server. If it names a webhook, bring the program behind it back.",
    ),
    OperatorReason.JOB_NOT_CHANGED: (
        "`spec.suspend` was set or taken back, and the API server refuses to suspend or resume the Job, or does not answer. A stage that runs goes on meanwhile, without a limit.",
        "Bring the webhook back, or change the policy, that the message names.",
    ),
    OperatorReason.NOT_ALLOWED: (
        "The run chooses an image, a Secret, a claim or a setting of its pods that the installer has not allowed. The run fails at once, before a Job is made.",
        "Leave the field out, or have the value added to `allowed` of the chart (`QLIB_SHADOW_ALLOWED`): [what a run may choose](security.md#what-a-run-may-choose).",
    ),
    OperatorReason.NETWORK_POLICY_UNREAD: (
        "The run has chosen labels for the training, and the operator cannot read the NetworkPolicies of the namespace, one of which may open the network for such a label.",
        "Let the operator list `networkpolicies` there, as its Role does; or apply the run again without labels.",
    ),
    OperatorReason.BACK_OFF: (
        "An attempt has ended, and the Job controller waits before the next one: 10 s, twice as long after each, at most 10 minutes.",
        "Nothing: the message says when it is expected. The start timeout counts from the end of the last attempt, and is 10 minutes longer.",
    ),
    OperatorReason.NO_POD: (
        "The Job has no pod, for no known cause: the Job controller does not wait, and no Event tells of a refusal.",
        "`kubectl describe job`; check whether the Job controller works.",
    ),
    OperatorReason.START_TIMED_OUT: (
        "The pod has a node but does not start, for no known cause.",
        "`kubectl describe pod`; check the node.",
    ),
}
"""Reasons that keep a stage from starting."""

ENDLESS: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.POD_DOES_NOT_END: (
        "The pod was deleted, and its node does not report that it has stopped. Until then Kubernetes creates no other one.",
        "If the node is lost: `kubectl delete node`, or `kubectl delete pod --force`.",
    ),
}
"""Reasons that keep a stage from ending."""

ENDED: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.DEADLINE_EXCEEDED: (
        "The stage did not finish within its deadline, which covers all attempts.",
        "Raise `stages.<stage>.activeDeadlineSeconds`, or give the stage more CPU.",
    ),
    OperatorReason.EVICTED: (
        "The cluster removed the pod: pressure on its node, preemption, a taint, a drain, a lost node. Not counted.",
        "Nothing: another attempt is made.",
    ),
    OperatorReason.OUT_OF_SCRATCH: (
        "The pod used more local storage than its own limit, so its node ended it. Counted as a failed attempt.",
        "Raise `stages.<stage>.scratch`, or the limit of `ephemeral-storage` that the message names.",
    ),
    OperatorReason.NODE_REFUSED: (
        "The scheduler gave the pod to a node that did not take it. Counted as a failed attempt.",
        "The message quotes the kubelet; look at the node.",
    ),
    OperatorReason.CONTAINER_FAILED: (
        "The process failed and left no result; the message quotes the end of its log.",
        "Read them. Often the image is not a qlib-runner.",
    ),
    OperatorReason.JOB_FAILED: (
        "The Job failed and its pod is gone: the message quotes the Job and the run folder.",
        "Read the log on the volume.",
    ),
    OperatorReason.JOB_DELETED: (
        "The stage's Job was deleted, and the recreated Job, too.",
        "Apply the run again under a new name; `spec.suspend` pauses a run.",
    ),
    OperatorReason.RESULT_MALFORMED: (
        "The stage succeeded but its termination message is not a result of this run.",
        "Set the image, in the field or the setting that the message names, to a qlib-runner of the operator's version.",
    ),
}
"""Reasons for a stage that ended without a result."""

NO_FAILURES: Final[Mapping[OperatorReason, tuple[str, str]]] = {
    OperatorReason.RETRYING: ("An attempt failed, or its Job was deleted; another attempt is made.", ""),
    OperatorReason.QUEUED: (
        "Kueue has not admitted the Job yet; the start timeout does not count.",
        "`kubectl get localqueues,workloads`; without Kueue, leave `queueName` out.",
    ),
    OperatorReason.RECOVERING_RESULT: (
        "A recovery Job reads the result of a finished stage from the run folder.",
        "",
    ),
    OperatorReason.NETWORK_POLICY_PRESENT: (
        "`NetworkClosed`: a NetworkPolicy blocks the network for qrun, and for the ledger where there is one.",
        "",
    ),
    OperatorReason.NETWORK_POLICY_MISSING: (
        "`NetworkClosed`: no NetworkPolicy does; only the runner's own guard. The run continues.",
        "`kubectl apply -n NAMESPACE -f manifests/network-policy/qrun.yaml`",
    ),
    OperatorReason.DATASET_VERIFIED: ("`DatasetReady`: the dataset was verified.", ""),
    OperatorReason.DATASET_NOT_CHECKED: ("`DatasetReady`: the dataset is not verified yet.", ""),
    OperatorReason.SUSPEND_REQUESTED: (
        "`Suspended`: `spec.suspend` is true.",
        "Set it to false to continue.",
    ),
    OperatorReason.NOT_SUSPENDED: ("`Suspended`: `spec.suspend` is not true.", ""),
    OperatorReason.IN_PROGRESS: ("`Complete` and `Failed`: neither is True yet.", ""),
    OperatorReason.RUN_COMPLETE: ("All stages succeeded.", ""),
    OperatorReason.RUN_FAILED: ("`Complete`: the run failed; see `Failed`.", ""),
    OperatorReason.GATES_OPEN: ("`GatesPassed`: every gate of the run's book was open.", ""),
    OperatorReason.GATES_CLOSED: (
        "`GatesPassed`: a gate of the run's book let no order pass, or only sales; the run continues.",
        "The message names the gates with figure and limit. See `qlib-shadow ledger show BOOK`.",
    ),
}
"""Reasons that are not failures."""

TEXT: Final = """\
# Reasons

Generated by `python -m tests.contract.failures_page` from the constants of the runner and the operator.

A failed run says in `kubectl describe qsr`, in the condition `Failed` and in an Event: the reason, and a sentence
with the cause, the place, the remedy, and where the whole log is. The log stays on the volume, in the
run's folder; `kubectl logs` has it while the pod exists.

## A stage says why it failed

| reason | retried | what it means | what to do |
|---|---|---|---|
{stage}

"Retried" means by the stage's Job, `stages.<stage>.retries` times with backoff.

## A stage does not start

The stage is `Waiting` for this reason and continues by itself when the cause is gone. After the operator's start
timeout (`QLIB_SHADOW_START_TIMEOUT_SECONDS`, 30 minutes) the run fails with it.

| reason | what it means | what to do |
|---|---|---|
{waits}

## A stage does not stop

The stage is `Waiting` for this reason from a minute past its pod's grace period until the pod is gone; then another
attempt is made. Past the stage's deadline the run fails with `DeadlineExceeded`, whether the pod is gone or not.

| reason | what it means | what to do |
|---|---|---|
{endless}

## A stage ends without a result

| reason | what it means | what to do |
|---|---|---|
{ended}

## Reasons that are not failures

| reason | what it means | what to do |
|---|---|---|
{others}

## Deletions and lost nodes

| what | what happens |
|---|---|
| a pod is deleted, evicted or preempted | another attempt, which does not count as a retry |
| a node is lost | the same, once its pods are gone: automatically when the node leaves the cluster, else see `PodDoesNotEnd` |
| a pod outgrows its own scratch space or `ephemeral-storage` | another attempt, which counts as a retry: `OutOfScratch` |
| a stage's Job is deleted | it is recreated once; the second time the run fails with `JobDeleted` |
| a stage's Job loses its labels or its owner | the operator restores them; where it is not let, it asks for the Job from time to time until it ends |
| a stage's pod loses its labels | the operator asks for it from time to time until it ends |
| a finished stage's pod is deleted before its result was read | a recovery Job reads the result from the run folder |
| a finished stage's Job is deleted | nothing; a finished stage stays finished |
| the run is deleted | its Jobs and pods are deleted; the files on the volume stay |
| the namespace is deleted | everything in it is deleted; the operator leaves its runs alone |
"""


def page() -> str:
    """Return the page."""
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
    """Return how the Jobs' podFailurePolicy treats an exit code."""
    if code in USER_ERRORS:
        return "no"
    return "always" if code is ExitCode.INTERRUPTED else "yes"


def _rows(told: Mapping[OperatorReason, tuple[str, str]]) -> str:
    return "\n".join(f"| `{reason}` | {means} | {remedy} |" for reason, (means, remedy) in told.items())


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"written: {PAGE}\n")
