"""Suspending runs, by the user and by a queue: before, between and during stages, on a real cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from operator_processes import Process, Workshop, define_runs, operating, synthetic, unreachable, workshop
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def operated(
    cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workshop, Process]]:
    """Create a namespace and run an operator for it."""
    define_runs(cluster)
    folder, image = tmp_path_factory.mktemp("suspend"), images.runner.reference
    with workshop(cluster) as shop, operating(cluster, folder, (shop.namespace,), image) as process:
        yield shop, process


@pytest.fixture(scope="module")
def shop(operated: tuple[Workshop, Process]) -> Workshop:
    """Return the namespace alone."""
    return operated[0]


def job_of(shop: Workshop, run: str, stage: str) -> dict[str, Any]:
    """Return a stage's Job, or an empty dict."""
    items = shop.objects("jobs", f"--selector=qlibshadow.io/run={run},qlibshadow.io/stage={stage}")
    return dict(items[0]) if items else {}


def wait_for_job(shop: Workshop, run: str, stage: str, other_than: str = "") -> dict[str, Any]:
    """Wait for a stage's Job, other than an earlier one."""

    def found() -> dict[str, Any]:
        job = job_of(shop, run, stage)
        return job if job and job["metadata"]["uid"] != other_than else {}

    return wait_for(found, PATIENCE, f"the Job of {run}'s {stage}")


def play_kueue(shop: Workshop, job: dict[str, Any], *, suspend: bool) -> None:
    """Admit a Job, or preempt it, as Kueue does."""
    patch = json.dumps({"spec": {"suspend": suspend}})
    shop.kubectl("patch", "job", job["metadata"]["name"], f"--patch={patch}")


def test_run_suspended_from_the_start_starts_when_resumed(shop: Workshop):
    """No Job, no folder, no start; its spec may still be changed."""
    shop.run("before", suspend=True, dataset=synthetic("before", seed=1))
    shop.wait("before", "Suspended")
    status = shop.status("before")
    assert status["phase"] == "Suspended"
    assert "startTime" not in status
    assert shop.jobs("before") == {}
    shop.change("before", dataset=synthetic("before", seed=2))
    shop.change("before", suspend=False)
    shop.wait("before", "DatasetReady")
    assert shop.condition("before", "Suspended")["status"] == "False"
    assert all(shop.told("before", reason) for reason in ("Suspended", "Resumed"))
    shop.kubectl("delete", "qsr", "before")


def test_suspended_stage_stops_and_gets_a_new_deadline(shop: Workshop):
    """Its pod stops without being counted as failed; the Job's deadline starts again."""
    limits = {"download": {"retries": 0, "activeDeadlineSeconds": 900}}
    shop.run("during", dataset=unreachable("busy"), stages=limits)
    pod = shop.running_pod("during")
    began = job_of(shop, "during", "download")["status"]["startTime"]
    shop.change("during", suspend=True)
    held = shop.wait_for_stage("during", "download", state="Suspended")
    assert "reason" not in held
    shop.kubectl("wait", "--for=delete", f"pod/{pod}", f"--timeout={PATIENCE}s")
    assert job_of(shop, "during", "download")["spec"]["suspend"] is True
    shop.change("during", suspend=False)
    assert shop.running_pod("during") != pod
    job = job_of(shop, "during", "download")
    assert job["status"]["startTime"] > began
    assert job["spec"]["activeDeadlineSeconds"] == 900
    failed = shop.failure("during")  # by its own failure, not by the suspension
    assert failed["reason"] == "DownloadFailed"
    assert job_of(shop, "during", "download")["status"]["failed"] == 1


def test_run_suspended_between_stages_does_not_start_the_next(
    operated: tuple[Workshop, Process],
):
    """The finished stage stays finished; the next one waits."""
    shop, process = operated
    download = shop.run_held_back("between", dataset=synthetic("between"))["metadata"]
    process.kill()
    shop.let_in("between")
    shop.kubectl("wait", "--for=condition=Complete", f"job/{download['name']}", f"--timeout={PATIENCE}s")
    shop.change("between", suspend=True)
    process.start()
    shop.wait("between", "Suspended")
    shop.wait("between", "DatasetReady")
    assert shop.status("between")["phase"] == "Suspended"
    assert shop.stage("between", "qrun")["state"] == "Pending"
    assert list(shop.jobs("between")) == [download["name"]]
    shop.change("between", suspend=False)
    wait_for_job(shop, "between", "qrun")
    assert job_of(shop, "between", "download")["metadata"]["uid"] == download["uid"]
    shop.kubectl("delete", "qsr", "between")


def test_only_the_queue_decides_when_jobs_start(shop: Workshop):
    """The operator neither resumes a queued Job nor calls the run suspended, however long it takes."""
    shop.run("queued", queueName="nightly", dataset=synthetic("queued"))
    waiting = shop.wait_for_stage("queued", "download", reason="QueuedByKueue")
    assert waiting["state"] == "Waiting"
    for words in ('LocalQueue "nightly"', f"kubectl get localqueues,workloads -n {shop.namespace}"):
        assert words in waiting["message"]
    assert shop.status("queued")["phase"] == "Pending"
    assert shop.condition("queued", "Suspended")["status"] == "False"
    assert "waits: QueuedByKueue" in shop.told("queued", "StageWaiting")
    download = job_of(shop, "queued", "download")
    assert download["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "nightly"
    assert download["spec"]["suspend"] is True
    play_kueue(shop, download, suspend=False)
    shop.wait("queued", "DatasetReady")
    qrun = wait_for_job(shop, "queued", "qrun")
    assert qrun["spec"]["suspend"] is True
    shop.wait_for_stage("queued", "qrun", reason="QueuedByKueue")


def test_run_suspended_in_a_queue_is_queued_again(shop: Workshop):
    """A Job that the operator deleted does not count as deleted by hand."""
    first = wait_for_job(shop, "queued", "qrun")["metadata"]
    shop.change("queued", suspend=True)
    held = shop.wait_for_stage("queued", "qrun", state="Suspended")
    assert "jobUID" not in held
    shop.kubectl("wait", "--for=delete", f"job/{first['name']}", f"--timeout={PATIENCE}s")
    assert shop.status("queued")["phase"] == "Suspended"
    shop.change("queued", suspend=False)
    second = wait_for_job(shop, "queued", "qrun", other_than=first["uid"])
    assert second["spec"]["suspend"] is True
    waiting = shop.wait_for_stage("queued", "qrun", reason="QueuedByKueue")
    assert "recreations" not in waiting


def test_preempted_job_waits_again(shop: Workshop):
    """Neither the run nor the Job has failed."""
    qrun = wait_for_job(shop, "queued", "qrun")
    play_kueue(shop, qrun, suspend=False)
    shop.wait_for_stage("queued", "qrun", state="Running")
    play_kueue(shop, qrun, suspend=True)
    waiting = shop.wait_for_stage("queued", "qrun", state="Waiting")
    assert waiting["reason"] == "QueuedByKueue"
    assert shop.condition("queued", "Failed")["status"] == "False"
    assert shop.stage("queued", "qrun").get("recreations") is None
    shop.kubectl("delete", "qsr", "queued")
