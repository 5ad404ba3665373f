"""Deletions during a run: its Job, its pod, its result, its namespace; on a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from installation import ROOT
from operator_processes import (
    ACCOUNT,
    Process,
    Workshop,
    alarms,
    define_runs,
    operating,
    synthetic,
    unreachable,
    workshop,
)
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

NOTHING: dict[str, Any] = {"path": "/data/qlib/nothing", "source": {"existing": {}}}
NO_DATASET: dict[str, Any] = {"download": {"nodeSelector": {"disk": "none-such"}}}


@dataclass(frozen=True)
class Place:
    """A namespace and its operator."""

    shop: Workshop
    operator: Process


@pytest.fixture(scope="module")
def place(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Create a namespace and run an operator for it."""
    define_runs(cluster)
    folder, image = tmp_path_factory.mktemp("jobs"), images.runner.reference
    with workshop(cluster) as shop, operating(cluster, folder, (shop.namespace,), image) as process:
        yield Place(shop, process)


def job_of(shop: Workshop, run: str, stage: str = "download") -> dict[str, Any]:
    """Return a stage's own Job."""
    selector = f"--selector=qlibshadow.io/run={run},qlibshadow.io/stage={stage},!qlibshadow.io/purpose"
    items = shop.objects("jobs", selector)
    return dict(items[0]) if items else {}


def another_job(shop: Workshop, run: str, uid: str) -> dict[str, Any]:
    """Return the Job that replaces a deleted one."""

    def found() -> dict[str, Any]:
        job = job_of(shop, run)
        return job if job and job["metadata"]["uid"] != uid else {}

    return wait_for(found, PATIENCE, f"another Job of {run}")


def test_job_deleted_by_hand_is_recreated_once_on_a_cluster(place: Place):
    """The second deletion is taken as intended."""
    shop = place.shop
    shop.run("deleted", dataset=synthetic("deleted"), stages=NO_DATASET)
    seen = shop.wait_for_stage("deleted", "download", reason="Unschedulable")
    first = job_of(shop, "deleted")["metadata"]
    assert seen["jobUID"] == first["uid"]
    shop.kubectl("delete", "job", first["name"])
    second = another_job(shop, "deleted", first["uid"])["metadata"]
    assert second["name"] == first["name"]
    seen = shop.wait_for_stage("deleted", "download", recreations="1", reason="Unschedulable")
    assert seen["jobUID"] == second["uid"]
    assert "was deleted by hand" in shop.told("deleted", "StageRetrying")
    shop.kubectl("delete", "job", second["name"])
    failed = shop.failure("deleted")
    assert failed["reason"] == "JobDeleted"
    assert f'the Job "{first["name"]}" was deleted by hand 2 times' in failed["message"]
    assert "under a new name" in failed["message"]
    assert job_of(shop, "deleted") == {}


def test_job_and_pod_without_their_labels_are_found_again(place: Place):
    """The Job gets its labels and owner back, and the pod's result is read; nothing is called deleted."""
    shop = place.shop
    job = shop.run_held_back("unlabelled", dataset=synthetic("unlabelled"))["metadata"]
    labels = [name for name in job["labels"] if "qlibshadow.io" in name or "app.kubernetes.io" in name]
    gone = [f"{name}-" for name in labels]
    shop.kubectl("label", "job", job["name"], *gone)
    restored = f"{{.metadata.labels.qlibshadow\\.io/run-uid}}={job['labels']['qlibshadow.io/run-uid']}"
    shop.kubectl("wait", f"job/{job['name']}", f"--for=jsonpath={restored}", f"--timeout={PATIENCE}s")
    orphaned = json.dumps([{"op": "remove", "path": "/metadata/ownerReferences"}])
    shop.kubectl("patch", "job", job["name"], "--type=json", f"--patch={orphaned}")
    owner = "{.metadata.ownerReferences[0].name}=unlabelled"
    shop.kubectl("wait", f"job/{job['name']}", f"--for=jsonpath={owner}", f"--timeout={PATIENCE}s")
    [pod] = shop.pods("unlabelled")
    shop.kubectl("label", "pod", pod["metadata"]["name"], *gone)
    shop.let_in("unlabelled")
    shop.wait("unlabelled", "DatasetReady")
    stage = shop.stage("unlabelled", "download")
    assert (stage["state"], stage["jobUID"], stage["attempts"]) == ("Succeeded", job["uid"], 1)
    assert not stage.get("recreations")
    assert not [note for note in shop.events("unlabelled").values() if "deleted" in note or "gone" in note]


def test_pod_deleted_by_hand_does_not_count_as_a_retry(place: Place):
    """With no retry left another attempt is made, and its outcome counts."""
    shop = place.shop
    shop.run("pod-deleted", dataset=unreachable("busy"), stages={"download": {"retries": 0}})
    shop.kubectl("delete", "pod", shop.running_pod("pod-deleted"))
    stage = shop.wait_for_stage("pod-deleted", "download", reason="Retrying", attempts="2")
    assert "does not count as a retry" in stage["message"] or "Interrupted" in stage["message"]
    failed = shop.failure("pod-deleted")
    assert failed["reason"] == "DownloadFailed"
    assert job_of(shop, "pod-deleted")["status"]["failed"] == 1


def test_eviction_does_not_count_as_a_retry(place: Place):
    """By the Eviction API, as when a node is drained."""
    shop = place.shop
    shop.run("evicted", dataset=unreachable("busy"), stages={"download": {"retries": 0}})
    pod = shop.running_pod("evicted")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    where = f"/api/v1/namespaces/{shop.namespace}/pods/{pod}/eviction"
    shop.cluster.kubectl("create", f"--raw={where}", "-f", "-", input=json.dumps(eviction))
    stage = shop.wait_for_stage("evicted", "download", reason="Retrying", attempts="2")
    assert "does not count as a retry" in stage["message"] or "EvictionByEvictionAPI" in stage["message"]
    failed = shop.failure("evicted")
    assert failed["reason"] == "DownloadFailed"
    assert job_of(shop, "evicted")["status"]["failed"] == 1


def lose_results(place: Place, ends: dict[str, str]) -> dict[str, str]:
    """Let downloads end and delete their pods while no operator runs; return the Jobs' uids."""
    shop = place.shop
    jobs: dict[str, dict[str, Any]] = {}
    for run, end in ends.items():
        dataset = synthetic(run) if end == "Complete" else NOTHING
        jobs[run] = shop.run_held_back(run, dataset=dataset)["metadata"]
    place.operator.kill()
    for run, end in ends.items():
        shop.let_in(run)
        job = f"job/{jobs[run]['name']}"
        shop.kubectl("wait", f"--for=condition={end}", job, f"--timeout={PATIENCE}s")
        shop.kubectl("delete", "pods", f"--selector=qlibshadow.io/run={run}")
    return {run: job["uid"] for run, job in jobs.items()}


def test_lost_result_is_recovered_without_repeating_the_stage(place: Place):
    """A recovery Job reads it from the run folder; if it is missing there, too, the run says so."""
    shop = place.shop
    uids = lose_results(place, {"told-again": "Complete", "untold": "Complete"})
    [kept] = shop.data.glob("artifacts/trading-ops/qlib-shadow/untold-*/results/download.json")
    kept.unlink()
    place.operator.start()
    shop.wait("told-again", "DatasetReady")
    stage = shop.stage("told-again", "download")
    assert (stage["state"], stage["attempts"], stage["jobUID"]) == ("Succeeded", 1, uids["told-again"])
    assert shop.status("told-again")["dataset"]["resolvedPath"].startswith("/data/qlib/told-again@")
    assert "its result is read from the run folder" in shop.told("told-again", "StageRetrying")
    name = f"{stage['jobName']}-report"
    report = shop.jobs("told-again")[name]
    assert report["metadata"]["labels"]["qlibshadow.io/purpose"] == "report"
    [container] = report["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["stage", "download", "--report"]
    failed = shop.failure("untold")
    assert failed["reason"] == "ResultMissing"
    for words in (
        "its pod was deleted before its result was read",
        "results/download.json",
        "under a new name",
    ):
        assert words in failed["message"]
    assert job_of(shop, "untold")["metadata"]["uid"] == uids["untold"]


def test_lost_cause_is_recovered(place: Place):
    """The run folder has the cause of a failed stage, too."""
    shop = place.shop
    uids = lose_results(place, {"told-why": "Failed"})
    place.operator.start()
    failed = shop.failure("told-why")
    assert failed["reason"] == "DatasetMissing"
    assert "failed, and its pod is gone" in shop.told("told-why", "StageRetrying")
    assert job_of(shop, "told-why")["metadata"]["uid"] == uids["told-why"]


@pytest.fixture
def everywhere(
    cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workshop, Process]]:
    """Run an operator for the whole cluster, with the rights of manifests/overlays/cluster-wide."""
    role, binding = (
        yaml.safe_load((ROOT / f"manifests/overlays/cluster-wide/{name}.yaml").read_text())
        for name in ("clusterrole", "clusterrolebinding")
    )
    folder, image = tmp_path_factory.mktemp("everywhere"), images.runner.reference
    with workshop(cluster) as home, workshop(cluster) as doomed:
        role["metadata"]["name"] = binding["metadata"]["name"] = binding["roleRef"]["name"] = home.namespace
        binding["subjects"] = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home.namespace}]
        cluster.apply(role, binding)
        try:
            with operating(cluster, folder, (home.namespace,), image, NAMESPACES="") as process:
                yield doomed, process
        finally:
            cluster.kubectl("delete", "clusterrole,clusterrolebinding", home.namespace)


def test_namespace_deletion_logs_little(cluster: Cluster, everywhere: tuple[Workshop, Process]):
    """Nothing delays the deletion, and the operator logs at most one line per run."""
    doomed, process = everywhere
    runs = [doomed.run(f"doomed-{number}", dataset=unreachable("busy")) for number in range(3)]
    runs.append(doomed.run("doomed-idle", dataset=unreachable("busy"), stages=NO_DATASET))
    for run in runs[:3]:
        doomed.running_pod(run)
    doomed.wait_for_stage("doomed-idle", "download", reason="Unschedulable")
    before = len(process.lines())
    cluster.kubectl("delete", "namespace", doomed.namespace, f"--timeout={PATIENCE}s")
    after = process.lines()[before:]
    assert alarms(after, "not found", "already exists") == []
    for run in runs:
        left_alone = [
            line for line in after if "left alone" in line["message"] and line["run"].endswith(f"/{run}")
        ]
        assert len(left_alone) <= 1
    assert not [line for line in after if "Failed" in line["message"]]
