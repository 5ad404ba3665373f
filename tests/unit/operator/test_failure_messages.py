"""Every failure message names cause, place and remedy: the sentences, verbatim."""

# ruff: noqa: E501 - a table reads best in rows
from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.contract.failures_page import ENDED, ENDLESS, OPERATOR
from tests.unit.operator.builders import NOW, Scene, a_run, result

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Status

from qlib_shadow_operator.runs.allowed import Allowed
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_operator.runs.queries import FindStartupWarning, WarningEvent
from qlib_shadow_operator.runs.reasons import MESSAGE_MAX, OperatorReason, shorten
from qlib_shadow_operator.runs.start_reasons import job_name_taken
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec.jobs import ImagePullSecret

LOG = (
    "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log, "
    "or: kubectl logs -n research job/demo-a1b2c3d4-download"
)
begun = a_run().seen().job(Stage.DOWNLOAD, active=1)

SENTENCES: dict[str, tuple[Scene, float, str]] = {
    "the runner's message is followed by the log location": (
        begun.failed(
            Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, "InvalidSpec", "spec.x is wrong. Remove it.")
        ),
        1,
        f"spec.x is wrong. Remove it. {LOG}",
    ),
    "out of memory": (
        begun.failed(Stage.DOWNLOAD, 137, kill="OOMKilled"),
        1,
        (
            "stage download was killed for using more memory than its limit of 2Gi. Raise "
            f"stages.download.resources.limits.memory, or use fewer instruments or a shorter history. {LOG}"
        ),
    ),
    "out of memory, with the end of the log": (
        begun.failed(Stage.DOWNLOAD, 137, "loading 500 symbols\n", kill="OOMKilled"),
        1,
        (
            "stage download was killed for using more memory than its limit of 2Gi. The log ends with: loading 500 "
            "symbols. Raise stages.download.resources.limits.memory, or use fewer instruments or a shorter history. "
            + LOG
        ),
    ),
    "out of scratch space": (
        begun.failed(Stage.DOWNLOAD, 137).pod_is(
            Stage.DOWNLOAD,
            reason="Evicted",
            message='Usage of EmptyDir volume "tmp" exceeds the limit "4Gi". ',
        ),
        1,
        (
            "stage download used more scratch space in /tmp than its limit of 4Gi, so its node ended it. Raise "
            f"stages.download.scratch, or use fewer instruments or a shorter history. {LOG}"
        ),
    ),
    "out of ephemeral storage": (
        begun.failed(Stage.DOWNLOAD, 137).pod_is(
            Stage.DOWNLOAD,
            reason="Evicted",
            message="Pod ephemeral local storage usage exceeds the total limit of containers 1536Mi. ",
        ),
        1,
        (
            "stage download used more local storage for scratch files and logs than its limit of 1536Mi, so its node "
            "ended it. Raise stages.download.resources.limits.ephemeral-storage, or use fewer instruments or a shorter "
            f"history. {LOG}"
        ),
    ),
    "out of ephemeral storage of the container": (
        begun.failed(Stage.DOWNLOAD, 143).pod_is(
            Stage.DOWNLOAD,
            reason="Evicted",
            message='Container stage exceeded its local ephemeral storage limit "2Gi". ',
        ),
        1,
        (
            "stage download used more local storage for scratch files and logs than its limit of 2Gi, so its node "
            "ended it. Raise stages.download.resources.limits.ephemeral-storage, or use fewer instruments or a shorter "
            f"history. {LOG}"
        ),
    ),
    "Job deleted again": (
        begun.seen(minutes=1).replaced(Stage.DOWNLOAD).seen(minutes=1).without_job(Stage.DOWNLOAD),
        1,
        (
            'the Job "demo-a1b2c3d4-download" was deleted by hand 2 times before it ended. Apply the run again under a '
            "new name, and set spec.suspend to pause a run. "
            "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log"
        ),
    ),
    "quota": (
        a_run()
        .seen()
        .rejected(Stage.DOWNLOAD, 'jobs.batch "demo" is forbidden: exceeded quota: q, used: 1, limited: 1')
        .seen(),
        31,
        (
            'not started after 1800 s: a ResourceQuota of namespace "research" leaves no room: exceeded quota: q, used: '
            "1, limited: 1. Change stages.download.resources, delete what is no longer needed, or raise the quota"
        ),
    ),
    "quota of a number": (
        a_run()
        .seen()
        .rejected(
            Stage.DOWNLOAD,
            "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1",
        )
        .seen(),
        31,
        (
            'not started after 1800 s: a ResourceQuota of namespace "research" leaves no room: exceeded quota: q, '
            "requested: count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1. "
            "Delete what is no longer needed, or raise the quota"
        ),
    ),
    "result missing": (
        begun.job(Stage.DOWNLOAD, is_complete=True, ended_at=NOW)
        .report(Stage.DOWNLOAD, is_failed=True, ended_at=NOW)
        .told(
            Stage.DOWNLOAD, 11, result(Stage.DOWNLOAD, "ResultMissing", "results/download.json is not there.")
        ),
        1,
        (
            "stage download succeeded, but its pod was deleted before its result was read, and the run folder has no "
            "result: results/download.json is not there. Apply the run again under a new name; the dataset is kept. "
            "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log"
        ),
    ),
    "cause missing": (
        begun.job_failed(Stage.DOWNLOAD, "BackoffLimitExceeded")
        .job(Stage.DOWNLOAD, failure_message="Job has reached the specified backoff limit")
        .report(Stage.DOWNLOAD, is_failed=True, ended_at=NOW)
        .told(Stage.DOWNLOAD, 14, result(Stage.DOWNLOAD, "OutOfDisk", "/data is full")),
        1,
        (
            "the Job failed with BackoffLimitExceeded: Job has reached the specified backoff limit; its pod is gone, and "
            "the last recorded attempt ended with OutOfDisk: /data is full. Apply the run again under a new name. "
            "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log"
        ),
    ),
    "cause missing without recovery pod": (
        begun.job_failed(Stage.DOWNLOAD, "PodFailurePolicy").report(
            Stage.DOWNLOAD,
            is_failed=True,
            ended_at=NOW,
            failure_message="Job was active longer than its deadline",
        ),
        1,
        (
            "the Job failed with PodFailurePolicy: no message; its pod is gone, and the run folder could not be read: "
            "Job was active longer than its deadline. Apply the run again under a new name. "
            "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log"
        ),
    ),
    "unschedulable": (
        begun.pod(Stage.DOWNLOAD, unschedulable="0/1 nodes are available."),
        31,
        (
            "not started after 1800 s: no node can take the pod: 0/1 nodes are available. Lower "
            "stages.download.resources, correct the nodeSelector, tolerations, affinity or topologySpreadConstraints of "
            "the chart's runs, or add a node"
        ),
    ),
    "claim missing": (
        begun.pod(Stage.DOWNLOAD, unschedulable='persistentvolumeclaim "qlib-shadow-data" not found'),
        31,
        (
            'not started after 1800 s: the PersistentVolumeClaim "qlib-shadow-data" is not in namespace "research". '
            "Create it, or name another one in the chart's storage.claimName"
        ),
    ),
    "image": (
        begun.pod(
            Stage.DOWNLOAD, waiting_reason="InvalidImageName", waiting_message="invalid reference format"
        ),
        0,
        (
            'the image "image" cannot be pulled: invalid reference format. Correct the chart\'s '
            "runner.image, or name the registry's credentials in the chart's runner.image.pullSecrets"
        ),
    ),
    "no result": (
        begun.succeeded(Stage.DOWNLOAD, "hello"),
        1,
        (
            "stage download succeeded but its result cannot be read: it is not JSON. Set the chart's runner.image to a "
            f"qlib-runner of the operator's version. {LOG}"
        ),
    ),
    "end of the log": (
        begun.failed(Stage.DOWNLOAD, 1, "ModuleNotFoundError: No module named 'qlib'\n"),
        1,
        "exit code 1 without a result; the log ends with: ModuleNotFoundError: No module named 'qlib'. "
        "Read the log; if it is not of a qlib-runner, correct the chart's runner.image. " + LOG,
    ),
    "deadline, never started": (
        begun.pod(Stage.DOWNLOAD, unschedulable="full").seen().job_failed(Stage.DOWNLOAD, "DeadlineExceeded"),
        1,
        (
            "stage download did not finish within its 3600 s deadline; it never started: no node can take the pod: "
            "full. Lower stages.download.resources, correct the nodeSelector, tolerations, affinity or "
            "topologySpreadConstraints of the chart's runs, or add a node"
        ),
    ),
    "deadline": (
        begun.running(Stage.DOWNLOAD).seen().job_failed(Stage.DOWNLOAD, "DeadlineExceeded"),
        1,
        (
            "stage download did not finish within its 3600 s deadline. "
            f"Raise stages.download.activeDeadlineSeconds, or give the stage more CPU. {LOG}"
        ),
    ),
    "a limit too small to start": (
        begun.failed(
            Stage.DOWNLOAD,
            128,
            "failed to create containerd task: cannot start a container that has stopped: unknown",
            kill="StartError",
        ).pod_is(Stage.DOWNLOAD, memory_limit="4Mi"),
        1,
        (
            "stage download was killed before it began: its memory limit of 4Mi is too small to start a process. Raise "
            "stages.download.resources.limits.memory, or leave stages.download.resources out for the operator's "
            "default"
        ),
    ),
    "a limit too small to start, by another runtime": (
        begun.failed(
            Stage.DOWNLOAD,
            128,
            "failed to create containerd task: cannot start a stopped process: unknown",
            kill="StartError",
        ).pod_is(Stage.DOWNLOAD, memory_limit="4Mi"),
        1,
        (
            "stage download was killed before it began: its memory limit of 4Mi is too small to start a process. Raise "
            "stages.download.resources.limits.memory, or leave stages.download.resources out for the operator's "
            "default"
        ),
    ),
    "a limit too small for a sandbox": (
        begun.pod(Stage.DOWNLOAD, memory_limit="4Mi").answered(
            FindStartupWarning("pod-1"),
            WarningEvent(
                "FailedCreatePodSandBox", "container init was OOM-killed (memory limit too low?)", NOW
            ),
        ),
        31,
        (
            "not started after 1800 s: stage download was killed before it began: its memory limit of 4Mi is too small "
            "to start a process. Raise stages.download.resources.limits.memory, or leave stages.download.resources out "
            "for the operator's default"
        ),
    ),
    "another image": (
        begun.failed(
            Stage.DOWNLOAD, 128, 'exec: "qlib-shadow": executable file not found in $PATH', kill="StartError"
        ),
        1,
        (
            'the container cannot be started: exec: "qlib-shadow": executable file not found in $PATH. Set the '
            "chart's runner.image to a qlib-runner that is made for the node's processor"
        ),
    ),
    "container config": (
        begun.pod(
            Stage.DOWNLOAD, waiting_reason="CreateContainerConfigError", waiting_message="no user to run as"
        ),
        31,
        (
            "not started after 1800 s: the container cannot be started: no user to run as. "
            "See: kubectl describe pod -n research pod-1"
        ),
    ),
    "credentials of the registry": (
        replace(
            a_run(image_pull_secrets=(ImagePullSecret("registry"),)),
            defaults=Defaults(allowed=Allowed(pull_secrets=("registry",))),
        )
        .seen()
        .pod(Stage.DOWNLOAD, waiting_reason="ErrImagePull", waiting_message="unauthorized"),
        31,
        (
            'not started after 1800 s: the image "image" cannot be pulled: unauthorized. Correct the chart\'s '
            'runner.image, or see that the Secret "registry" is in namespace "research" and may read the registry'
        ),
    ),
    "mount": (
        begun.pod(Stage.DOWNLOAD).answered(
            FindStartupWarning("pod-1"), WarningEvent("FailedMount", "no such folder", NOW)
        ),
        31,
        (
            'not started after 1800 s: the volume behind the PersistentVolumeClaim "qlib-shadow-data" cannot be mounted: '
            "no such folder. Correct the volume, or wait until another node releases it. See: kubectl describe pvc -n "
            "research qlib-shadow-data"
        ),
    ),
    "claim without a volume": (
        begun.pod(Stage.DOWNLOAD, unschedulable="pod has unbound immediate PersistentVolumeClaims"),
        31,
        (
            'not started after 1800 s: the PersistentVolumeClaim "qlib-shadow-data" in namespace "research" cannot be '
            "used: pod has unbound immediate PersistentVolumeClaims. "
            "See: kubectl describe pvc -n research qlib-shadow-data"
        ),
    ),
    "a slow start": (
        begun.pod(Stage.DOWNLOAD).answered(FindStartupWarning("pod-1"), None),
        31,
        (
            "not started after 1800 s: the pod has a node but its container does not start; its volume may not be "
            "attached. See: kubectl describe pod -n research pod-1"
        ),
    ),
    "no pod": (
        begun.answered(FindStartupWarning("job-download"), None),
        31,
        (
            'not started after 1800 s: the Job "demo-a1b2c3d4-download" has no pod, and no Event says why; the '
            "cluster's Job controller may not work. See: kubectl describe job -n research demo-a1b2c3d4-download"
        ),
    ),
    "pod refused": (
        begun.answered(
            FindStartupWarning("job-download"),
            WarningEvent("FailedCreate", 'Error creating: pods "x" is forbidden: no', NOW),
        ).seen(minutes=1),
        33,
        (
            'not started after 1800 s: namespace "research" does not admit the pod: no. Change its Pod Security labels, '
            "its LimitRange or its admission policy, or what the run asks for in stages.download"
        ),
    ),
    "a class that does not exist": (
        begun.answered(
            FindStartupWarning("job-download"),
            WarningEvent(
                "FailedCreate",
                'Error creating: pods "x" is forbidden: no PriorityClass with name high was found',
                NOW,
            ),
        ).seen(minutes=1),
        33,
        (
            "not started after 1800 s: the pod of stage download names what does not exist: no PriorityClass with name "
            "high was found. Create it, or correct the chart's runs.priorityClassName"
        ),
    ),
    "Job not created": (
        a_run()
        .seen()
        .rejected(Stage.DOWNLOAD, 'failed calling webhook "mjob.kb.io": refused', server_failed=True)
        .seen(),
        31,
        (
            "not started after 1800 s: the API server cannot create the Job of stage download now: failed calling "
            'webhook "mjob.kb.io": refused. See that the API server works, and the program behind a webhook that it names'
        ),
    ),
    "Job not resumed": (
        a_run()
        .seen()
        .job(Stage.DOWNLOAD, suspended=True)
        .rejected(Stage.DOWNLOAD, "denied by a policy.", of_a_change=True)
        .seen(),
        31,
        (
            "not started after 1800 s: the API server does not suspend or resume the Job of stage download: denied by a "
            "policy. See that the policy or the webhook that it names works, and lets the operator change the Job"
        ),
    ),
    "Job refused": (
        a_run().seen().rejected(Stage.DOWNLOAD, "spec.backoffLimit: x", permanent=True),
        0,
        (
            "the API server refuses the Job of stage download: the chart's runner.stages.download.retries: x. "
            "Correct the chart's runner.stages.download.retries"
        ),
    ),
    "Job name taken": (
        a_run()
        .seen()
        .rejected(Stage.DOWNLOAD, job_name_taken("demo-a1b2c3d4-download"), name_taken=True)
        .seen(),
        31,
        (
            'not started after 1800 s: a Job named "demo-a1b2c3d4-download" exists and does not belong to this run. '
            "Delete it, or rename the run"
        ),
    ),
    "a node that refuses the pod": (
        begun.pod(
            Stage.DOWNLOAD, phase="Failed", reason="UnexpectedAdmissionError", message="no device."
        ).job_failed(Stage.DOWNLOAD, "x"),
        1,
        f"the node refused the pod before it started: no device. See: kubectl describe nodes. {LOG}",
    ),
    "a pod that does not stop": (
        begun.running(Stage.DOWNLOAD)
        .seen()
        .pod_is(Stage.DOWNLOAD, ends_by=NOW, node="node-7")
        .job(Stage.DOWNLOAD, is_failing=True, failure_reason="BackoffLimitExceeded"),
        2,
        (
            'the pod "pod-1" was told to stop and has not: its node "node-7" does not answer or cannot stop it. Another '
            "attempt starts once it is gone. If the node is lost: kubectl delete node node-7, or: "
            f"kubectl delete pod -n research pod-1 --force. {LOG}"
        ),
    ),
}


def condition_message(status: Status) -> str:
    """Return the message of the condition Failed."""
    found = status.condition(ConditionType.FAILED)
    assert found is not None
    return found.message


@pytest.mark.parametrize(("scene", "minutes", "sentence"), SENTENCES.values(), ids=SENTENCES.keys())
def test_failure_message(scene: Scene, minutes: float, sentence: str):
    """The condition, the stage and the Event have the same message."""
    decision = scene.decide(minutes=minutes)
    assert condition_message(decision.status) == sentence
    assert decision.status.stages[0].message == sentence
    assert decision.notes[-1].message == sentence
    assert decision.notes[-1].warning


NEVER_FINAL = {OperatorReason.EVICTED, OperatorReason.BACK_OFF}
"""Reasons after which another attempt is always made."""
BEFORE_ANY_STAGE = {OperatorReason.NOT_ALLOWED, OperatorReason.NETWORK_POLICY_UNREAD}
"""Reasons of a run of which no stage begins; test_choices has the sentences."""
REMEDY = re.compile(
    r"(^|[.;:,] (or )?)(Raise|Lower|Correct|Change|Create|Apply|Set|See|Read|Remove|Delete|kubectl)\b"
)


def test_every_failure_has_a_sentence_here():
    """Its reason is one of the table's rows."""
    found = {
        scene.decide(minutes=minutes).status.stages[0].reason for scene, minutes, _ in SENTENCES.values()
    }
    assert {*OPERATOR, *ENDLESS, *ENDED} - found - NEVER_FINAL - BEFORE_ANY_STAGE == set()


@pytest.mark.parametrize("sentence", [one[2] for one in SENTENCES.values()], ids=SENTENCES.keys())
def test_every_failure_names_a_remedy_and_has_no_gap(sentence: str):
    """What to do is an imperative; what stands for a name is filled in."""
    assert REMEDY.search(sentence)
    assert not re.search("<[a-z ]+>", sentence)


def test_long_message_keeps_both_ends():
    """The cause comes first, the remedy last."""
    text = shorten("cause " + "x" * 5000 + " remedy")
    assert text.startswith("cause ")
    assert text.endswith(" remedy")
    assert len(text) == MESSAGE_MAX


def test_long_message_keeps_the_log_location():
    """However long the runner's message is."""
    scene = begun.failed(Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, "InvalidSpec", "x" * 3000))
    message = scene.decide(minutes=1).status.stages[0].message
    assert message is not None
    assert message.endswith(LOG)
    assert len(message) <= MESSAGE_MAX


STOPPED = result(Stage.DOWNLOAD, "Interrupted", "told to stop")
RETRIES: dict[str, tuple[Scene, str]] = {
    "a pod deleted by hand": (
        begun.attempt_failed(Stage.DOWNLOAD, 143, STOPPED),
        "attempt 2; the one before ended with Interrupted: told to stop",
    ),
    "a pod deleted by hand that was killed": (
        begun.attempt_failed(Stage.DOWNLOAD, 137).pod_is(Stage.DOWNLOAD, ends_by=NOW),
        (
            "attempt 2; the one before ended with Interrupted: the attempt was stopped from outside; its pod was deleted, "
            "or its node shut down"
        ),
    ),
    "an eviction": (
        begun.attempt_failed(Stage.DOWNLOAD, 143, STOPPED).pod_is(
            Stage.DOWNLOAD, disruption="EvictionByEvictionAPI: Eviction API: evicting"
        ),
        (
            "attempt 2; the one before ended with Evicted: the cluster removed the pod: EvictionByEvictionAPI: Eviction "
            "API: evicting"
        ),
    ),
    "a node short of memory": (
        begun.pod(
            Stage.DOWNLOAD,
            phase="Failed",
            disruption="TerminationByKubelet",
            reason="Evicted",
            message="The node was low on resource: memory.",
        ),
        (
            "attempt 2; the one before ended with Evicted: the cluster removed the pod: The node was low on resource: "
            "memory"
        ),
    ),
    "a transient failure": (
        begun.attempt_failed(Stage.DOWNLOAD, 13, result(Stage.DOWNLOAD, "DownloadFailed", "no answer")),
        "attempt 2; the one before ended with DownloadFailed: no answer",
    ),
}


def test_vanished_attempt_is_counted_and_reported_once():
    """A deleted pod leaves nothing to read; the status has the message while the next attempt runs."""
    gone = begun.running(Stage.DOWNLOAD).seen().without_pods(Stage.DOWNLOAD)
    sentence = (
        "attempt 2; the pod of the one before is gone: it was deleted, evicted or preempted, or its node is lost. "
        "That does not count as a retry"
    )
    [note] = gone.decide(minutes=1).notes
    assert (note.reason, note.message) == ("StageRetrying", f"stage download: {sentence}")
    scene = gone.seen(minutes=1).running(Stage.DOWNLOAD, "pod-2")
    assert scene.decide(minutes=2).notes == ()
    for found in (scene, scene.seen(minutes=2)):
        stage = found.decide(minutes=3).status.stages[0]
        assert (stage.attempts, stage.message) == (2, sentence)


def test_message_of_a_pod_that_does_not_stop_names_node_and_remedy():
    """While it is waited for, and when the deadline ends the wait."""
    stuck = begun.running(Stage.DOWNLOAD).seen().pod_is(Stage.DOWNLOAD, ends_by=NOW, node="node-7")
    sentence = (
        'the pod "pod-1" was told to stop and has not: its node "node-7" does not answer or cannot stop it. Another '
        "attempt starts once it is gone. If the node is lost: kubectl delete node node-7, or: "
        "kubectl delete pod -n research pod-1 --force"
    )
    [note] = stuck.decide(minutes=1).notes
    assert (note.reason, note.warning) == ("StageWaiting", True)
    assert note.message == f"stage download waits: PodDoesNotEnd: {sentence}"
    told = stuck.seen(minutes=1)
    late = told.job(Stage.DOWNLOAD, is_failing=True, failure_reason="DeadlineExceeded")
    gone = told.job_failed(Stage.DOWNLOAD, "DeadlineExceeded").without_pods(Stage.DOWNLOAD)
    for scene in (late, gone):
        message = scene.decide(minutes=2).status.stages[0].message or ""
        assert message.startswith(
            f"stage download did not finish within its 3600 s deadline: {sentence}. Log:"
        )


@pytest.mark.parametrize(("scene", "sentence"), RETRIES.values(), ids=RETRIES.keys())
def test_retry_message_says_how_the_previous_attempt_ended(scene: Scene, sentence: str):
    """In the stage's message and in an Event, while the next attempt runs."""
    decision = (
        scene.job(Stage.DOWNLOAD, active=1, failed=1).running(Stage.DOWNLOAD, "pod-2").decide(minutes=1)
    )
    assert decision.status.stages[0].message == sentence
    assert (decision.notes[-1].reason, decision.notes[-1].message) == (
        "StageRetrying",
        f"stage download: {sentence}",
    )


def test_waiting_in_a_queue_is_not_a_warning():
    """The user asked for it."""
    scene = a_run(queue_name="nightly").seen().job(Stage.DOWNLOAD, suspended=True, has_queue=True)
    [note] = scene.decide(minutes=1).notes
    assert (note.reason, note.warning) == ("StageWaiting", False)
    assert note.message == (
        'stage download waits: QueuedByKueue: Kueue has not admitted the Job yet, by LocalQueue "nightly". '
        "See: kubectl get localqueues,workloads -n research"
    )


@pytest.mark.parametrize(("closed", "status"), [(True, True), (False, False), (None, None)])
def test_network_condition_is_reported_once(closed: bool | None, status: bool | None):  # noqa: FBT001
    """A missing policy is also an Event; an unknown answer is not shown."""
    scene = begun.succeeded(Stage.DOWNLOAD)
    asked = scene.decide(minutes=1).queries
    seen = scene.answered(asked[0], closed)
    found = seen.decide(minutes=1).status.condition(ConditionType.NETWORK_CLOSED)
    assert (found and found.status) is status
    events = [note for note in seen.decide(minutes=1).notes if note.reason == "NetworkPolicyMissing"]
    assert len(events) == (1 if closed is False else 0)
    later = seen.seen(minutes=1).running(Stage.QRUN).decide(minutes=2)
    assert later.queries == ()
    assert [note.reason for note in later.notes] == []
    kept = later.status.condition(ConditionType.NETWORK_CLOSED)
    assert (kept and kept.status) is status


@pytest.mark.parametrize(
    "note",
    [
        'Error creating: pods "demo-1" is forbidden: exceeded quota: q',
        'Error creating: pods "demo-2" is forbidden: exceeded quota: q',
        '(combined from similar events): Error creating: pods "demo-3" is forbidden: exceeded quota: q',
        "Error creating: exceeded quota: q",
    ],
)
def test_refusal_message_omits_the_pod_name(note: str):
    """Each pod that the Job controller tries has another name; that is not a new message."""
    asked = begun.answered(FindStartupWarning("job-download"), WarningEvent("FailedCreate", note, NOW))
    message = asked.decide(minutes=1).status.stages[0].message
    assert message == (
        'a ResourceQuota of namespace "research" leaves no room: exceeded quota: q. '
        "Change stages.download.resources, delete what is no longer needed, or raise the quota"
    )
