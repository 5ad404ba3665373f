"""Runs in a queue of a real Kueue: they wait, are admitted, give their place up, go on, and never run twice.

The cluster is this module's own (see queueing.py), also where another one was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import queueing
from installation import ROOT
from operator_processes import Process, Workshop, define_runs, operating, synthetic, unreachable, workshop
from testcluster import PATIENCE, binaries, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queueing import Queues
    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

SAMPLE = ROOT / "manifests/samples/kueue.yaml"
ROOMY, ONE, FULL = "64", "10m", "0"
"""Processors of the queue's quota: for every run at once, for one stage, and for none."""
URGENT = "urgent"


@pytest.fixture(scope="module")
def queues(own_cluster: Callable[..., Cluster]) -> Queues:
    """Start a cluster with Kueue."""
    cluster = own_cluster()
    cluster.load_image(binaries.stage(), binaries.STAGE)
    define_runs(cluster)
    return queueing.install(cluster)


@pytest.fixture(scope="module")
def runner(queues: Queues, built_images: Images) -> str:
    """Bring the runner's image onto the node, and return its name."""
    queues.cluster.load_image(built_images.runner.archive, built_images.runner.reference)
    return built_images.runner.reference


@pytest.fixture(scope="module")
def operated(queues: Queues, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workshop, Process]]:
    """Create a namespace with a LocalQueue and an operator, whose stages succeed at once."""
    folder = tmp_path_factory.mktemp("kueue")
    with (
        workshop(queues.cluster) as shop,
        operating(queues.cluster, folder, (shop.namespace,), binaries.STAGE) as process,
    ):
        queues.offer(ROOMY)
        queues.open_in(shop.namespace)
        yield shop, process


@pytest.fixture
def shop(operated: tuple[Workshop, Process], queues: Queues) -> Workshop:
    """Return the namespace, with the queue open."""
    queues.offer(ROOMY)
    return operated[0]


def stage_jobs(shop: Workshop, run: str, stage: str) -> list[dict[str, Any]]:
    """Return a stage's Job, or nothing."""
    return shop.objects("jobs", f"--selector=qlibshadow.io/run={run},qlibshadow.io/stage={stage}")


def test_sample_waits_for_quota_and_is_admitted_stage_by_stage(shop: Workshop, queues: Queues):
    """Without quota no pod exists; each of the two Jobs gets a place of its own."""
    queues.offer(FULL)
    shop.kubectl("apply", f"--filename={SAMPLE}")
    waiting = shop.wait_for_stage("queued", "download", reason="QueuedByKueue")
    assert waiting["state"] == "Waiting"
    assert shop.pods("queued") == []
    queues.offer(ROOMY)
    shop.wait("queued", "Complete")
    owners = [one["metadata"]["ownerReferences"][0] for one in shop.objects("workloads.kueue.x-k8s.io")]
    assert {owner["name"] for owner in owners} == set(shop.jobs("queued"))
    shop.kubectl("delete", "qsr", "queued")


def test_run_of_a_drained_queue_waits_and_goes_on(shop: Workshop, queues: Queues, runner: str):
    """A queue that is drained ends the stage's pod; that counts neither as an attempt nor as a failure."""
    shop.run("held", queueName=queueing.QUEUE, image=runner, dataset=unreachable("held"))
    first = shop.running_pod("held")
    queues.stop("HoldAndDrain")
    waiting = shop.wait_for_stage("held", "download", state="Waiting")
    assert waiting["reason"] == "QueuedByKueue"
    shop.kubectl("wait", "--for=delete", f"pod/{first}", f"--timeout={PATIENCE}s")
    queues.stop("None")
    assert shop.running_pod("held") != first
    [job] = stage_jobs(shop, "held", "download")
    assert "failed" not in job["status"]
    assert shop.condition("held", "Failed")["status"] == "False"
    shop.kubectl("delete", "qsr", "held")


def test_run_that_another_preempts_waits_and_goes_on(shop: Workshop, queues: Queues, runner: str):
    """There is room for one, and the second has a higher priority; Kueue reads it from the pod's class."""
    important = {"metadata": {"name": URGENT}, "value": 1000, "description": "a test's"}
    shop.cluster.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **important})
    queues.offer(ONE)
    asked = {"queueName": queueing.QUEUE, "image": runner}
    shop.run("ordinary", dataset=unreachable("ordinary"), **asked)
    first = shop.running_pod("ordinary")
    high = {"download": {"priorityClassName": URGENT}}
    shop.run(URGENT, dataset=unreachable(URGENT), stages=high, **asked)
    shop.running_pod(URGENT)
    waiting = shop.wait_for_stage("ordinary", "download", state="Waiting")
    assert waiting["reason"] == "QueuedByKueue"
    shop.kubectl("wait", "--for=delete", f"pod/{first}", f"--timeout={PATIENCE}s")
    shop.kubectl("delete", "qsr", URGENT)
    assert shop.running_pod("ordinary") != first
    [job] = stage_jobs(shop, "ordinary", "download")
    assert "failed" not in job["status"]
    assert shop.condition("ordinary", "Failed")["status"] == "False"
    shop.kubectl("delete", "qsr", "ordinary")


def test_queue_that_drains_as_a_run_completes_does_not_repeat_it(shop: Workshop, queues: Queues):
    """A run is Complete a moment before its Job: the queue is drained in that moment, and opened again."""
    shop.run("done", queueName=queueing.QUEUE, dataset=synthetic("done"))
    [trained] = wait_for(lambda: stage_jobs(shop, "done", "qrun"), PATIENCE, "the Job of qrun")
    shop.wait("done", "Complete")
    queues.stop("HoldAndDrain")

    def is_settled() -> bool:
        """Whether Kueue has let go of the Job: it is over, gone or suspended."""
        found = stage_jobs(shop, "done", "qrun")
        return not found or found[0]["spec"]["suspend"] or is_over(found[0])

    wait_for(is_settled, PATIENCE, "the drained queue to be felt")
    queues.stop("None")
    # A run that is queued after it, and completes, shows that the queue has gone on.
    shop.run("next", queueName=queueing.QUEUE, dataset=synthetic("next"))
    shop.wait("next", "Complete")
    made = f"involvedObject.uid={trained['metadata']['uid']},reason=SuccessfulCreate"
    assert len(shop.objects("events", f"--field-selector={made}")) == 1
    assert not [pod for pod in shop.pods("done") if pod["status"]["phase"] in {"Pending", "Running"}]
    assert all(is_over(job) for job in stage_jobs(shop, "done", "qrun"))
    assert shop.status("done")["phase"] == "Complete"


def is_over(job: dict[str, Any]) -> bool:
    """Return whether a Job has ended."""
    conditions = job["status"].get("conditions") or ()
    return any((one["type"], one["status"]) == ("Complete", "True") for one in conditions)


def test_run_says_that_a_webhook_is_away_and_goes_on_when_it_is_back(shop: Workshop, queues: Queues):
    """Kueue's webhooks are asked about every Job: without them none can be created, queued or not."""
    queues.leave()
    shop.run("away", queueName=queueing.QUEUE, dataset=synthetic("away"))
    waiting = shop.wait_for_stage("away", "download", reason="JobNotCreated")
    assert waiting["state"] == "Waiting"
    assert 'failed calling webhook "' in waiting["message"]
    assert "waits: JobNotCreated: the API server cannot create" in shop.told("away", "StageWaiting")
    queues.come_back()
    shop.wait("away", "Complete")
