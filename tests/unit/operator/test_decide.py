"""What is decided about a run: one table, keyed by sentences, through the whole chain of rules."""

# ruff: noqa: E501 - a table reads best in rows
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.unit.operator.builders import NOW, Scene, a_run, result

from qlib_shadow_operator.runs.allowed import Allowed
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import ConditionType, child_labels
from qlib_shadow_operator.runs.queries import FindEgressPolicy, FindJob, FindStartupWarning, WarningEvent
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec.jobs import StageSpec, StagesSpec
from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef, WorkflowSpec

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.decisions import Decision
    from qlib_shadow_operator.runs.queries import Query

DOWNLOAD, QRUN = Stage.DOWNLOAD, Stage.QRUN
NO_POD, NOT_STARTING = FindStartupWarning("job-download"), FindStartupWarning("pod-1")
QUOTA = WarningEvent("FailedCreate", 'Error creating: pods "x" is forbidden: exceeded quota: q', NOW)
FORBIDDEN = WarningEvent(
    "FailedCreate", 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted"', NOW
)
OLD = WarningEvent("FailedCreate", "Error creating: exceeded quota: q", NOW - timedelta(hours=1))
UNMOUNTED = WarningEvent("FailedMount", "hostPath type check failed", NOW)


class Expected(NamedTuple):
    """The expected outcome of a scene."""

    rule: str
    phase: str
    actions: tuple[str, ...] = ()
    reason: str | None = None
    """The reason of the condition Failed, or else of the current stage."""


begun = a_run().seen().job(DOWNLOAD, active=1)
downloaded = begun.succeeded(DOWNLOAD).seen()
training = downloaded.running(QRUN).seen()
complete = training.succeeded(QRUN).seen()
LOST = training.job(QRUN, is_complete=True, active=0, succeeded=1, ended_at=NOW).without_pods(QRUN)
UNTOLD = begun.seen().job_failed(DOWNLOAD, "BackoffLimitExceeded")
STALE = result(DOWNLOAD, "DatasetStale", "too old")
templated = a_run(workflow=WorkflowSpec(config_map=ConfigMapRef("mine"))).seen().succeeded(DOWNLOAD).seen()
queued = a_run(queue_name="nightly").seen().job(DOWNLOAD, suspended=True, has_queue=True)
greedy = a_run(image="r.example/mine:1")
pinned = a_run(question={"dataset": {"version": "3f9c0a1b2c3d"}})
NOT_THERE = result(QRUN, "DatasetMissing", "there is no version 3f9c0a1b2c3d of the dataset")
TRADED = result(DOWNLOAD, "ShadowPromiseBroken", "it tried to trade")

OUTGROWN = 'Usage of EmptyDir volume "work" exceeds the limit "1Gi". '
outgrown = (
    begun.job(DOWNLOAD, active=1, retries=1)
    .attempt_failed(DOWNLOAD, 143)
    .pod_is(DOWNLOAD, reason="Evicted", message=OUTGROWN)
)
impatient = replace(begun, defaults=Defaults(start_timeout=timedelta(seconds=60)))
worn_out = reduce(
    lambda scene, n: scene.attempt_failed(DOWNLOAD, 143, name=f"pod-{n}"),
    range(5),
    impatient.job(DOWNLOAD, active=0, retries=2),
)


def open_to(*, plain: bool | None, labelled: bool | None) -> Scene:
    """Return a run with a label, and whether policies close its training without the label and with it."""
    spec = replace(downloaded.run.spec, stages=StagesSpec(qrun=StageSpec(labels={"internet": "yes"})))
    scene = replace(
        downloaded, run=replace(downloaded.run, spec=spec), defaults=Defaults(allowed=Allowed(labels=("*",)))
    )
    own = child_labels(scene.run.name, scene.run.uid, QRUN)
    queries: dict[Query, bool | None] = {
        FindEgressPolicy(frozenset({**own, "internet": "yes"}.items())): labelled
    }
    queries[FindEgressPolicy(frozenset(own.items()))] = plain
    return replace(scene, observed=replace(scene.observed, answers={**scene.observed.answers, **queries}))


CASES: dict[str, tuple[Scene, float, Expected]] = {
    "a new run starts with the download": (
        a_run(), 0, Expected("stage_has_no_job", "Pending", ("CreateJob",)),
    ),
    "a run whose first Job is missing creates it again": (
        a_run().seen(), 0, Expected("stage_has_no_job", "Pending", ("CreateJob",)),
    ),
    "a Job without a pod is starting": (
        begun, 1, Expected("stage_is_in_progress", "Pending"),
    ),
    "a Job that never gets a pod fails after the start timeout": (
        begun, 31, Expected("stage_has_failed", "Failed", ("DeleteJob",), "NoPod"),
    ),
    "a pod that pulls its image is starting": (
        begun.pod(DOWNLOAD, waiting_reason="ContainerCreating"), 1, Expected("stage_is_in_progress", "Pending"),
    ),
    "a pod that does not start without a known cause fails after the start timeout": (
        begun.pod(DOWNLOAD), 31, Expected("stage_has_failed", "Failed", ("DeleteJob",), "StartTimedOut"),
    ),
    "a run with a running pod is Running": (
        begun.running(DOWNLOAD), 1, Expected("stage_is_in_progress", "Running"),
    ),
    "a running pod may run for longer than the start timeout": (
        begun.running(DOWNLOAD), 300, Expected("stage_is_in_progress", "Running"),
    ),
    "a pod that was told to stop has its grace period": (
        begun.running(DOWNLOAD).pod_is(DOWNLOAD, ends_by=NOW), 0.9, Expected("stage_is_in_progress", "Running"),
    ),
    "a pod that does not stop has its own reason": (
        begun.running(DOWNLOAD).seen().pod_is(DOWNLOAD, ends_by=NOW), 1,
        Expected("stage_is_in_progress", "Pending", (), "PodDoesNotEnd"),
    ),
    "a pod that does not stop is waited for until the deadline": (
        begun.running(DOWNLOAD).pod_is(DOWNLOAD, ends_by=NOW).seen(minutes=1), 300,
        Expected("stage_is_in_progress", "Pending", (), "PodDoesNotEnd"),
    ),
    "a Job past its deadline gives its pod time to stop": (
        begun.running(DOWNLOAD).seen().pod_is(DOWNLOAD, ends_by=NOW)
        .job(DOWNLOAD, is_failing=True, failure_reason="DeadlineExceeded"), 0.9,
        Expected("stage_is_in_progress", "Running"),
    ),
    "a Job past its deadline fails although its pod does not stop": (
        begun.running(DOWNLOAD).seen().pod_is(DOWNLOAD, ends_by=NOW)
        .job(DOWNLOAD, is_failing=True, failure_reason="DeadlineExceeded"), 1,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "DeadlineExceeded"),
    ),
    "a failing Job fails although its pod does not stop": (
        begun.running(DOWNLOAD).seen().pod_is(DOWNLOAD, ends_by=NOW)
        .job(DOWNLOAD, is_failing=True, failure_reason="BackoffLimitExceeded"), 1,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "PodDoesNotEnd"),
    ),
    "a pod that did not stop and is gone at last is followed by another attempt": (
        begun.running(DOWNLOAD).pod_is(DOWNLOAD, ends_by=NOW).seen(minutes=1).without_pods(DOWNLOAD), 2,
        Expected("stage_is_in_progress", "Pending", (), "Retrying"),
    ),
    "a pod without a node is Unschedulable": (
        begun.pod(DOWNLOAD, unschedulable="0/1 nodes are available"), 1,
        Expected("stage_is_in_progress", "Pending", (), "Unschedulable"),
    ),
    "a pod without a node fails after the start timeout, and its Job is deleted": (
        begun.pod(DOWNLOAD, unschedulable="0/1 nodes are available"), 31,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "Unschedulable"),
    ),
    "a missing claim is distinguished from a full cluster": (
        begun.pod(DOWNLOAD, unschedulable='persistentvolumeclaim "x" not found'), 1,
        Expected("stage_is_in_progress", "Pending", (), "VolumeClaimMissing"),
    ),
    "an image that cannot be pulled has its own reason": (
        begun.pod(DOWNLOAD, waiting_reason="ImagePullBackOff"), 1,
        Expected("stage_is_in_progress", "Pending", (), "ImageUnavailable"),
    ),
    "an invalid image name fails at once": (
        begun.pod(DOWNLOAD, waiting_reason="InvalidImageName"), 0,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "ImageUnavailable"),
    ),
    "a container that cannot be configured has its own reason": (
        begun.pod(DOWNLOAD, waiting_reason="CreateContainerConfigError"), 1,
        Expected("stage_is_in_progress", "Pending", (), "ContainerCannotStart"),
    ),
    "a refused Job is created again": (
        a_run().seen().rejected(DOWNLOAD, "exceeded quota"), 1,
        Expected("stage_has_no_job", "Pending", ("CreateJob",), "QuotaExceeded"),
    ),
    "a Job that is refused past the start timeout fails": (
        a_run().seen().rejected(DOWNLOAD, "exceeded quota").seen(), 31,
        Expected("stage_has_failed", "Failed", (), "QuotaExceeded"),
    ),
    "the start timeout of a refused Job counts from the refusal": (
        a_run().seen().rejected(DOWNLOAD, "exceeded quota"), 300,
        Expected("stage_has_no_job", "Pending", ("CreateJob",), "QuotaExceeded"),
    ),
    "a pod that vanishes after hours is replaced": (
        begun.running(DOWNLOAD).seen().without_job(DOWNLOAD).job(DOWNLOAD, failed=1), 120,
        Expected("stage_is_in_progress", "Pending", (), "Retrying"),
    ),
    "a vanished attempt is reported while the next one runs": (
        begun.running(DOWNLOAD).seen().without_pods(DOWNLOAD).seen().running(DOWNLOAD, "pod-2"), 1,
        Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "a second attempt without a visible pod has time to start": (
        begun.job(DOWNLOAD, active=0, failed=1), 31, Expected("stage_is_in_progress", "Pending"),
    ),
    "pods that a failing Job deletes are not vanished attempts": (
        begun.running(DOWNLOAD).seen().without_pods(DOWNLOAD).job(DOWNLOAD, is_failing=True), 1,
        Expected("stage_is_in_progress", "Running"),
    ),
    "pods that a preempted Job deletes are not vanished attempts": (
        queued.seen().job(DOWNLOAD, suspended=False).running(DOWNLOAD).seen().without_pods(DOWNLOAD)
        .job(DOWNLOAD, suspended=True), 1,
        Expected("stage_is_in_progress", "Pending", (), "QueuedByKueue"),
    ),
    "a second attempt whose pod vanishes after hours is replaced, too": (
        begun.attempt_failed(DOWNLOAD, 13).running(DOWNLOAD, "pod-2").seen(minutes=1).without_pod(DOWNLOAD, "pod-2"),
        120, Expected("stage_is_in_progress", "Pending", (), "Retrying"),
    ),
    "of two pods created in the same second, the one that has not ended counts": (
        begun.attempt_failed(DOWNLOAD, 13, name="pod-z").running(DOWNLOAD, "pod-a").made_at_once(DOWNLOAD),
        120, Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "an evicted pod that ran for hours is replaced": (
        begun.running(DOWNLOAD).seen().pod(DOWNLOAD, phase="Failed", reason="Evicted"), 120,
        Expected("stage_is_in_progress", "Running"),
    ),
    "a Job that was created late has its whole start timeout": (
        a_run().seen().job(DOWNLOAD, created_at=NOW + timedelta(hours=2), started_at=None), 121,
        Expected("stage_is_in_progress", "Pending"),
    ),
    "a resumed Job has a new start timeout": (
        begun.attempt_failed(DOWNLOAD, 13).spec(suspend=True).job(DOWNLOAD, suspended=True).seen()
        .spec(suspend=False).seen(minutes=90).job(DOWNLOAD, suspended=False), 91,
        Expected("stage_is_in_progress", "Pending"),
    ),
    "a Job of the same name that is not the run's fails the run after the start timeout": (
        a_run().seen().rejected(DOWNLOAD, "a Job named x exists", name_taken=True).seen(), 31,
        Expected("stage_has_failed", "Failed", (), "JobNameTaken"),
    ),
    "a Job that lost its labels is marked again, and keeps its state": (
        training.without_job(QRUN).answered(FindJob("demo-a1b2c3d4-qrun"), answer=True), 5,
        Expected("job_is_unmarked", "Running", ("CreateJob",)),
    ),
    "a Job that lost its labels while the run is suspended is marked again": (
        training.spec(suspend=True).without_job(QRUN).answered(FindJob("demo-a1b2c3d4-qrun"), answer=True), 5,
        Expected("job_is_unmarked", "Running", ("CreateJob",)),
    ),
    "a permanently refused Job fails at once": (
        a_run().seen().rejected(DOWNLOAD, "invalid", permanent=True), 0,
        Expected("stage_has_failed", "Failed", (), "JobRejected"),
    ),
    "a succeeded download starts the training": (
        begun.succeeded(DOWNLOAD), 1, Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a succeeded pod completes the stage before its Job is complete": (
        begun.succeeded(DOWNLOAD).job(DOWNLOAD, is_complete=False, active=1), 1,
        Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a succeeded download whose Job is deleted is not repeated": (
        downloaded.without_job(DOWNLOAD), 60, Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a training whose Job is deleted before its end starts again": (
        training.without_job(QRUN), 5, Expected("stage_has_no_job", "Running", ("CreateJob",), "Retrying"),
    ),
    "a recreated Job belongs to the stage": (
        training.replaced(QRUN), 5, Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "a Job that is deleted while it waits is recreated and reported": (
        begun.pod(DOWNLOAD, unschedulable="full").seen().without_job(DOWNLOAD), 1,
        Expected("stage_has_no_job", "Pending", ("CreateJob",), "Retrying"),
    ),
    "a Job that is deleted a second time fails the run": (
        training.replaced(QRUN).seen().without_job(QRUN), 5,
        Expected("stage_has_failed", "Failed", (), "JobDeleted"),
    ),
    "a Job that was never seen is created, however often it was attempted": (
        a_run().seen().seen().seen(), 1, Expected("stage_has_no_job", "Pending", ("CreateJob",)),
    ),
    "pods that a quota refuses have their own reason": (
        begun.answered(NO_POD, QUOTA).seen(), 2, Expected("stage_is_in_progress", "Pending", (), "QuotaExceeded"),
    ),
    "pods that a quota refuses past the start timeout fail the run": (
        begun.answered(NO_POD, QUOTA).seen(minutes=1), 40,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "QuotaExceeded"),
    ),
    "pods of a Job that was refused before have time to start": (
        a_run().seen().rejected(DOWNLOAD, "exceeded quota").seen().job(DOWNLOAD, created_at=NOW + timedelta(minutes=9)), 9,
        Expected("stage_is_in_progress", "Pending"),
    ),
    "pods that are not admitted have their own reason": (
        begun.answered(NO_POD, FORBIDDEN).seen(), 2, Expected("stage_is_in_progress", "Pending", (), "PodRefused"),
    ),
    "an Event about an earlier attempt is ignored": (
        begun.answered(NO_POD, OLD).seen(), 2, Expected("stage_is_in_progress", "Pending"),
    ),
    "a volume that cannot be mounted has its own reason": (
        begun.pod(DOWNLOAD).answered(NOT_STARTING, UNMOUNTED), 2,
        Expected("stage_is_in_progress", "Pending", (), "VolumeNotMounted"),
    ),
    "a claim without a volume is distinguished from a full cluster": (
        begun.pod(DOWNLOAD, unschedulable="pod has unbound immediate PersistentVolumeClaims"), 1,
        Expected("stage_is_in_progress", "Pending", (), "VolumeClaimUnusable"),
    ),
    "a missing template is distinguished from other causes": (
        templated.pod(QRUN, waiting_reason="CreateContainerConfigError", waiting_message='configmap "mine" not found'),
        1, Expected("stage_is_in_progress", "Running", (), "TemplateNotFound"),
    ),
    "a queued Job is not suspended but waits": (
        queued.seen(), 600, Expected("stage_is_in_progress", "Pending", (), "QueuedByKueue"),
    ),
    "a Job that Kueue admitted has time to start": (
        queued.seen().job(DOWNLOAD, suspended=False, active=1), 600, Expected("stage_is_in_progress", "Pending"),
    ),
    "a run that is suspended in a queue deletes its Job": (
        queued.seen().spec(suspend=True), 1, Expected("run_is_suspended", "Suspended", ("DeleteJob",)),
    ),
    "a run that was suspended in a queue has no Job": (
        queued.seen().spec(suspend=True).seen().without_job(DOWNLOAD), 600, Expected("run_is_suspended", "Suspended"),
    ),
    "a resumed run is queued again, which does not count as a deleted Job": (
        queued.seen().spec(suspend=True).seen().without_job(DOWNLOAD).spec(suspend=False), 600,
        Expected("stage_has_no_job", "Pending", ("CreateJob",)),
    ),
    "two succeeded stages complete the run": (
        training.succeeded(QRUN), 5, Expected("every_stage_has_succeeded", "Complete"),
    ),
    "a complete run stays complete when its Jobs are deleted": (
        complete.without_job(QRUN).without_job(DOWNLOAD), 600, Expected("run_has_finished", "Complete"),
    ),
    "a complete run is kept without a time to live": (
        complete, 60 * 24 * 365, Expected("run_has_finished", "Complete"),
    ),
    "a complete run is kept during its time to live": (
        complete.spec(ttl_seconds_after_finished=3600), 59, Expected("run_has_finished", "Complete"),
    ),
    "a complete run is deleted after its time to live": (
        complete.spec(ttl_seconds_after_finished=3600), 60, Expected("run_has_finished", "Complete", ("DeleteRun",)),
    ),
    "a complete run cannot be suspended": (
        complete.spec(suspend=True), 1, Expected("run_has_finished", "Complete"),
    ),
    "the runner's reason is the run's": (
        begun.failed(DOWNLOAD, 12, TRADED), 1, Expected("stage_has_failed", "Failed", (), "ShadowPromiseBroken"),
    ),
    "a failed run stays failed, whatever appears later": (
        begun.failed(DOWNLOAD, 12, TRADED).seen().succeeded(DOWNLOAD), 9,
        Expected("run_has_finished", "Failed", (), "ShadowPromiseBroken"),
    ),
    "a Job of a failed run is deleted also after a restart": (
        begun.pod(DOWNLOAD).seen(minutes=31), 32,
        Expected("run_has_finished", "Failed", ("DeleteJob",), "StartTimedOut"),
    ),
    "a killed container ran out of memory": (
        begun.failed(DOWNLOAD, 137, kill="OOMKilled"), 1, Expected("stage_has_failed", "Failed", (), "OutOfMemory"),
    ),
    "a killed child process reports that it ran out of memory": (
        begun.failed(DOWNLOAD, 137, result(DOWNLOAD, "OutOfMemory", "a child was killed")), 1,
        Expected("stage_has_failed", "Failed", (), "OutOfMemory"),
    ),
    "a process that only leaves a log has ContainerFailed": (
        begun.failed(DOWNLOAD, 1, "Traceback: boom"), 1, Expected("stage_has_failed", "Failed", (), "ContainerFailed"),
    ),
    "a container that cannot be executed says so": (
        begun.failed(DOWNLOAD, 128, "exec: not found", kill="StartError"), 1,
        Expected("stage_has_failed", "Failed", (), "ContainerCannotStart"),
    ),
    "a deleted pod was interrupted": (
        begun.failed(DOWNLOAD, 143), 1, Expected("stage_has_failed", "Failed", (), "Interrupted"),
    ),
    "an evicted pod says so": (
        begun.pod(DOWNLOAD, phase="Failed", disruption="TerminationByKubelet", reason="Evicted", message="low on memory").job_failed(DOWNLOAD, "x"), 1,
        Expected("stage_has_failed", "Failed", (), "Evicted"),
    ),
    "a pod that outgrew its own storage says so, not that the cluster took it away": (
        begun.failed(DOWNLOAD, 137).pod_is(DOWNLOAD, reason="Evicted", message=OUTGROWN), 1,
        Expected("stage_has_failed", "Failed", (), "OutOfScratch"),
    ),
    "pods that outgrew their storage fail the stage after its retries, although the Job ignores them": (
        outgrown.attempt_failed(DOWNLOAD, 143, name="pod-2").pod_is(DOWNLOAD, reason="Evicted", message=OUTGROWN), 1,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "OutOfScratch"),
    ),
    "a pod that outgrew its storage is tried again": (
        outgrown.running(DOWNLOAD, "pod-2"), 1, Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "evictions by the cluster are tried again, however many they are": (
        outgrown.attempt_failed(DOWNLOAD, 143, name="pod-2").pod_is(DOWNLOAD, disruption="EvictionByEvictionAPI: drained")
        .running(DOWNLOAD, "pod-3"), 1, Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "a wait of the Job controller between attempts is no quota": (
        worn_out, 2, Expected("stage_is_in_progress", "Pending", (), "BackOff"),
    ),
    "a wait that is shorter than a pod takes to start is not told": (
        worn_out, 0.2, Expected("stage_is_in_progress", "Pending"),
    ),
    "a quota that refuses the next attempt is told": (
        worn_out.answered(NO_POD, QUOTA), 4, Expected("stage_is_in_progress", "Pending", (), "QuotaExceeded"),
    ),
    "a pod that is still missing long after the Job controller's longest wait fails the run": (
        worn_out, 12, Expected("stage_has_failed", "Failed", ("DeleteJob",), "NoPod"),
    ),
    "a pod that its node refused was not removed by the cluster": (
        begun.pod(DOWNLOAD, phase="Failed", reason="OutOfmemory", message="Pod was rejected: no memory").job_failed(DOWNLOAD, "x"), 1,
        Expected("stage_has_failed", "Failed", (), "NodeRefused"),
    ),
    "a pod that a node under pressure refused did not outgrow its storage": (
        begun.pod(DOWNLOAD, phase="Failed", reason="Evicted", message="Pod was rejected: The node had condition: [DiskPressure]. ")
        .job_failed(DOWNLOAD, "x"), 1, Expected("stage_has_failed", "Failed", (), "NodeRefused"),
    ),
    "a pod that was deleted before it started was interrupted": (
        begun.pod(DOWNLOAD, phase="Failed").job_failed(DOWNLOAD, "x"), 1,
        Expected("stage_has_failed", "Failed", (), "Interrupted"),
    ),
    "a passed deadline is distinguished from other failures": (
        begun.attempt_failed(DOWNLOAD, 143).job_failed(DOWNLOAD, "DeadlineExceeded"), 1,
        Expected("stage_has_failed", "Failed", (), "DeadlineExceeded"),
    ),
    "a failed attempt is not yet a failed stage": (
        begun.running(DOWNLOAD).seen().attempt_failed(DOWNLOAD, 13), 1, Expected("stage_is_in_progress", "Running"),
    ),
    "the next attempt says why the previous one failed": (
        begun.attempt_failed(DOWNLOAD, 13).running(DOWNLOAD, "pod-2"), 1,
        Expected("stage_is_in_progress", "Running", (), "Retrying"),
    ),
    "a failed Job waits briefly for its pod's update": (
        begun.seen().job_failed(DOWNLOAD, "BackoffLimitExceeded"), 0.4, Expected("stage_is_in_progress", "Pending"),
    ),
    "the cause of a failed Job without a pod is read from the run folder": (
        UNTOLD, 1, Expected("stage_result_is_missing", "Running", ("CreateJob",), "ReportingAgain"),
    ),
    "the run waits while the cause is read from the run folder": (
        UNTOLD.report(DOWNLOAD, active=1), 9, Expected("stage_is_in_progress", "Running", (), "ReportingAgain"),
    ),
    "a Job failed by its failure policy has the recorded cause": (
        UNTOLD.job_failed(DOWNLOAD, "PodFailurePolicy").report(DOWNLOAD, is_failed=True, ended_at=NOW).told(DOWNLOAD, 11, STALE), 9,
        Expected("stage_has_failed", "Failed", (), "DatasetStale"),
    ),
    "a Job failed by its backoff limit may have another cause than the recorded one": (
        UNTOLD.report(DOWNLOAD, is_failed=True, ended_at=NOW).told(DOWNLOAD, 11, STALE), 9,
        Expected("stage_has_failed", "Failed", (), "JobFailed"),
    ),
    "a failed Job with a recorded success is JobFailed": (
        UNTOLD.report(DOWNLOAD, is_complete=True, ended_at=NOW).told(DOWNLOAD, 0, result(DOWNLOAD)), 9,
        Expected("stage_has_failed", "Failed", (), "JobFailed"),
    ),
    "a failed Job whose recovery pod is gone, too, is JobFailed": (
        UNTOLD.report(DOWNLOAD, is_failed=True, ended_at=NOW), 9,
        Expected("stage_has_failed", "Failed", (), "JobFailed"),
    ),
    "a failed Job whose recovery Job is refused is JobFailed": (
        UNTOLD.rejected(DOWNLOAD, "exceeded quota"), 9, Expected("stage_has_failed", "Failed", (), "JobFailed"),
    ),
    "a recovery Job of a failed stage that cannot be created now is created again": (
        UNTOLD.rejected(DOWNLOAD, "busy", server_failed=True), 9,
        Expected("stage_result_is_missing", "Running", ("CreateJob",), "ReportingAgain"),
    ),
    "a recovery Job of a failed stage that can never be created ends as JobFailed": (
        UNTOLD.rejected(DOWNLOAD, "busy", server_failed=True).seen(minutes=9), 41,
        Expected("stage_has_failed", "Failed", (), "JobFailed"),
    ),
    "a recovery Job of a failed stage waits in its queue": (
        UNTOLD.spec(queue_name="nightly").report(DOWNLOAD, suspended=True, has_queue=True), 90,
        Expected("stage_is_in_progress", "Pending", (), "QueuedByKueue"),
    ),
    "a run that was suspended after its Job failed recovers the cause when it is resumed": (
        UNTOLD.spec(suspend=True), 9, Expected("run_is_suspended", "Suspended"),
    ),
    "a complete Job waits briefly for its pod's update": (
        begun.seen().job(DOWNLOAD, is_complete=True, ended_at=begun.observed.jobs[DOWNLOAD].created_at), 0.4,
        Expected("stage_is_in_progress", "Pending"),
    ),
    "a complete Job whose pod is gone waits for the pod's update": (
        LOST, 0, Expected("stage_is_in_progress", "Running"),
    ),
    "the result of a complete Job without a pod is recovered": (
        LOST, 1, Expected("stage_result_is_missing", "Running", ("CreateJob",), "ReportingAgain"),
    ),
    "a result that is being recovered is waited for": (
        LOST.report(QRUN, active=1), 9, Expected("stage_is_in_progress", "Running", (), "ReportingAgain"),
    ),
    "a recovered result completes the stage": (
        LOST.report(QRUN).told(QRUN, 0, result(QRUN)), 9, Expected("every_stage_has_succeeded", "Complete"),
    ),
    "a result that cannot be recovered fails the run": (
        LOST.report(QRUN, is_failed=True, ended_at=NOW).told(QRUN, 11, result(QRUN, "ResultMissing", "no file")), 9,
        Expected("stage_has_failed", "Failed", (), "ResultMissing"),
    ),
    "a result whose recovery is lost, too, fails the run": (
        LOST.report(QRUN, is_complete=True, ended_at=NOW), 9,
        Expected("stage_has_failed", "Failed", (), "ResultMissing"),
    ),
    "a recovery pod that does not stop fails the run, and its Job is deleted": (
        LOST.report(QRUN, is_failing=True, failure_reason="DeadlineExceeded").untold(QRUN), 9,
        Expected("stage_has_failed", "Failed", ("DeleteJob",), "ResultMissing"),
    ),
    "no result is recovered while the run is suspended": (
        LOST.spec(suspend=True), 9, Expected("run_is_suspended", "Suspended"),
    ),
    "a refused recovery Job is created again": (
        LOST.rejected(QRUN, "exceeded quota"), 9,
        Expected("stage_result_is_missing", "Running", ("CreateJob",), "QuotaExceeded"),
    ),
    "a recovery Job waits in its queue": (
        LOST.spec(queue_name="nightly").report(QRUN, suspended=True, has_queue=True), 90,
        Expected("stage_is_in_progress", "Running", (), "QueuedByKueue"),
    ),
    "a termination message without a result is malformed": (
        begun.succeeded(DOWNLOAD, "all good"), 1, Expected("stage_has_failed", "Failed", (), "ResultMalformed"),
    ),
    "a Job with a malformed result completes by itself and keeps its log": (
        begun.succeeded(DOWNLOAD, "all good").job(DOWNLOAD, is_complete=False, active=1), 1,
        Expected("stage_has_failed", "Failed", (), "ResultMalformed"),
    ),
    "a result of another run is malformed": (
        begun.succeeded(DOWNLOAD, result(DOWNLOAD, uid="other")), 1,
        Expected("stage_has_failed", "Failed", (), "ResultMalformed"),
    ),
    "a dataset outside the volume is malformed": (
        begun.succeeded(DOWNLOAD, result(DOWNLOAD, dataset={"resolvedPath": "/data/../etc"})), 1,
        Expected("stage_has_failed", "Failed", (), "ResultMalformed"),
    ),
    "a suspended run does not start": (
        a_run(suspend=True), 0, Expected("run_is_suspended", "Suspended"),
    ),
    "a run that is suspended while running suspends its Job": (
        begun.running(DOWNLOAD).seen().spec(suspend=True), 1,
        Expected("run_is_suspended", "Suspended", ("SetJobSuspended",)),
    ),
    "a suspended Job is left alone": (
        begun.spec(suspend=True).seen().job(DOWNLOAD, suspended=True, active=0), 90,
        Expected("run_is_suspended", "Suspended"),
    ),
    "a run that is suspended between stages does not start the next one": (
        begun.spec(suspend=True).seen().succeeded(DOWNLOAD), 1, Expected("run_is_suspended", "Suspended"),
    ),
    "a run that is suspended too late completes": (
        training.spec(suspend=True).succeeded(QRUN), 5, Expected("every_stage_has_succeeded", "Complete"),
    ),
    "a resumed run resumes its Job": (
        begun.spec(suspend=True).job(DOWNLOAD, suspended=True).seen().spec(suspend=False), 90,
        Expected("stage_is_suspended", "Pending", ("SetJobSuspended",)),
    ),
    "a run that names its version starts with the training": (
        pinned, 0, Expected("stage_has_no_job", "Pending", ("CreateJob",)),
    ),
    "a run that names its version is complete with its training": (
        pinned.seen().succeeded(QRUN), 1, Expected("every_stage_has_succeeded", "Complete"),
    ),
    "a run whose version is missing fails with the training's reason": (
        pinned.seen().failed(QRUN, 11, NOT_THERE), 1, Expected("stage_has_failed", "Failed", (), "DatasetMissing"),
    ),
    "a training result without a dataset is malformed in a run without download": (
        pinned.seen().succeeded(QRUN, result(QRUN, dataset={})), 1,
        Expected("stage_has_failed", "Failed", (), "ResultMalformed"),
    ),
    "a run whose folder's name cannot be one fails": (
        a_run(run_id="Catalog!"), 0, Expected("run_is_invalid", "Failed", (), "InvalidSpec"),
    ),
    "a run that chooses what is not allowed fails before it has a Job": (
        greedy, 0, Expected("run_is_not_allowed", "Failed", (), "NotAllowed"),
    ),
    "a suspended run that chooses what is not allowed fails": (
        greedy.spec(suspend=True), 0, Expected("run_is_not_allowed", "Failed", (), "NotAllowed"),
    ),
    "a run whose choice is no longer allowed finishes the stage that it is in": (
        replace(begun.running(DOWNLOAD), run=replace(begun.run, spec=greedy.run.spec)), 1,
        Expected("stage_is_in_progress", "Running"),
    ),
    "a run whose choice is no longer allowed gets no Job for its next stage": (
        replace(downloaded, run=replace(downloaded.run, spec=greedy.run.spec)), 1,
        Expected("run_is_not_allowed", "Failed", (), "NotAllowed"),
    ),
    "a run whose labels open the network of the training fails": (
        open_to(plain=True, labelled=False), 1, Expected("labels_open_the_network", "Failed", (), "NotAllowed"),
    ),
    "a run whose labels change nothing about the network trains": (
        open_to(plain=True, labelled=True), 1, Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a run trains with labels where nothing closes the network": (
        open_to(plain=False, labelled=False), 1, Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a run with labels waits while the policies cannot be read": (
        open_to(plain=None, labelled=None), 1,
        Expected("labels_open_the_network", "Running", (), "NetworkPolicyUnread"),
    ),
    "a run with labels does not wait for ever for the policies to be read": (
        open_to(plain=True, labelled=None).seen(minutes=1), 31,
        Expected("labels_open_the_network", "Failed", (), "NetworkPolicyUnread"),
    ),
    "a run with labels trains once the policies can be read": (
        replace(open_to(plain=None, labelled=None).seen(minutes=1),
            observed=open_to(plain=True, labelled=True).observed), 2,
        Expected("stage_has_no_job", "Running", ("CreateJob",)),
    ),
    "a suspended run with labels does not wait for the policies": (
        open_to(plain=None, labelled=None).spec(suspend=True), 1,
        Expected("run_is_suspended", "Suspended"),
    ),
    "a queued recovery Job that lost its queue's label gets it back": (
        LOST.spec(queue_name="nightly").report(QRUN, suspended=True), 90,
        Expected("stage_result_is_missing", "Running", ("CreateJob",), "QueuedByKueue"),
    ),
    "reasons that alternate do not restart the start timeout": (
        a_run().seen().rejected(DOWNLOAD, "denied").seen(minutes=1)
        .rejected(DOWNLOAD, "no answer", server_failed=True).seen(minutes=20)
        .rejected(DOWNLOAD, "denied").seen(minutes=25), 32,
        Expected("stage_has_failed", "Failed", (), "JobRejected"),
    ),
    "a pod that is refused after a long time in the queue has the whole start timeout": (
        queued.seen().job(DOWNLOAD, suspended=False, started_at=NOW + timedelta(minutes=600))
        .seen(minutes=600).answered(FindStartupWarning("job-download"),
            WarningEvent("FailedCreate", "denied", NOW + timedelta(minutes=600))), 601,
        Expected("stage_is_in_progress", "Pending", (), "PodRefused"),
    ),
    "a result is recovered although the run's choice is no longer allowed": (
        replace(LOST, run=replace(LOST.run, spec=greedy.run.spec)), 9,
        Expected("stage_result_is_missing", "Running", ("CreateJob",), "ReportingAgain"),
    ),
    "a complete run keeps its Jobs for their time": (
        complete.spec(job_ttl_seconds=600).seen(), 9, Expected("run_has_finished", "Complete"),
    ),
    "a complete run's Jobs are deleted after their time": (
        complete.spec(job_ttl_seconds=600).seen(), 11,
        Expected("run_has_finished", "Complete", ("DeleteJob", "DeleteJob")),
    ),
    "a failed run's Job is deleted at once where it is not to be kept": (
        replace(begun.failed(DOWNLOAD, 11, STALE).seen(minutes=1), defaults=Defaults(job_ttl_seconds=0)), 2,
        Expected("run_has_finished", "Failed", ("DeleteJob",), "DatasetStale"),
    ),
    "a run that is being deleted is left alone": (
        begun.deleted(), 1, Expected("run_is_being_deleted", "Pending"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("scene", "minutes", "expected"), CASES.values(), ids=CASES.keys())
def test_decision(scene: Scene, minutes: float, expected: Expected):
    """Each sentence of the table holds."""
    scene = scene if scene.run.status.phase or not scene.run.deleting else scene.seen()
    decision = scene.decide(minutes=minutes)
    assert outcome(decision) == expected


@pytest.mark.parametrize(("scene", "minutes"), [case[:2] for case in CASES.values()], ids=CASES.keys())
def test_invariants_of_every_decision(scene: Scene, minutes: float):
    """Complete and Failed are never both True, and a second pass over the same state changes nothing."""
    decision = scene.decide(minutes=minutes)
    true = [c.type for c in decision.status.conditions if c.status]
    assert not {ConditionType.COMPLETE, ConditionType.FAILED} <= set(true)
    again = scene.seen(minutes=minutes).decide(minutes=minutes)
    assert again.notes == ()
    assert again.status == scene.seen(minutes=minutes).run.status


def outcome(decision: Decision) -> Expected:
    """Return a decision in the form of the table."""
    status = decision.status
    failed = status.condition(ConditionType.FAILED)
    current = next((one for one in status.stages if one.state != "Succeeded"), None)
    stage_reason = current.reason if current else None
    return Expected(
        rule=decision.rule,
        phase=str(status.phase),
        actions=tuple(type(action).__name__ for action in decision.actions),
        reason=failed.reason if failed and failed.status else stage_reason,
    )


def test_run_that_waits_for_the_policies_says_what_to_do():
    """With its place, and as a Warning."""
    decision = open_to(plain=None, labelled=None).decide(minutes=1)
    sentence = (
        'the NetworkPolicies of namespace "research" cannot be read, so a label of spec.stages.qrun.labels may '
        "open the network. Let the operator list them there, as its Role does, or apply the run again without "
        "labels"
    )
    assert decision.status.stages[1].message == sentence
    assert [note.message for note in decision.notes if note.warning] == [
        f"stage qrun waits: NetworkPolicyUnread: {sentence}"
    ]
    assert decision.requeue_at == NOW + timedelta(minutes=3)


@pytest.mark.parametrize("seconds", [20, 5])
def test_delay_of_queries_is_a_setting(seconds: int):
    """For a pod that does not start, and for one that does not stop after three times as long."""
    defaults = Defaults(query_after=timedelta(seconds=seconds))
    starting = replace(begun.pod(DOWNLOAD), defaults=defaults)
    asked = [starting.decide(minutes=(seconds + late) / 60).queries for late in (-1, 0)]
    assert [NOT_STARTING in queries for queries in asked] == [False, True]
    ending = replace(begun.running(DOWNLOAD).seen().pod_is(DOWNLOAD, ends_by=NOW), defaults=defaults)
    found = [outcome(ending.decide(minutes=(3 * seconds + late) / 60)).reason for late in (-1, 0)]
    assert found == [None, "PodDoesNotEnd"]
