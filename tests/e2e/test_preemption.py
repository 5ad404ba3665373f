"""A pod of higher priority preempts a run on a full node: no attempt is counted, and the run continues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from operator_processes import Workshop, define_runs, operating, unreachable, workshop
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

SHARE = 0.6
"""Of a node's memory; two such pods do not fit."""
HOST = "kubernetes.io/hostname"


@pytest.fixture(scope="module")
def shop(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Create a namespace with an operator and a priority class."""
    define_runs(cluster)
    folder, image = tmp_path_factory.mktemp("preemption"), images.runner.reference
    with workshop(cluster) as shop, operating(cluster, folder, (shop.namespace,), image):
        important = {"metadata": {"name": shop.namespace}, "value": 1000, "description": "a test's"}
        cluster.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **important})
        yield shop
        cluster.kubectl("delete", "priorityclass", shop.namespace)


def a_node(cluster: Cluster) -> tuple[dict[str, str], str]:
    """Return a node, and an amount of memory of which it has room for one pod, not for two."""
    [node, *_] = cluster.get("nodes")["items"]
    kilobytes = int(node["status"]["allocatable"]["memory"].removesuffix("Ki"))
    return {HOST: node["metadata"]["labels"][HOST]}, f"{int(kilobytes * SHARE)}Ki"


def important_pod(shop: Workshop, image: str, node: dict[str, str], memory: str) -> dict[str, Any]:
    """Return a pod of higher priority."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "sleep",
        "image": image,
        "command": ["sleep", "3600"],
        "securityContext": security,
        "resources": {"requests": {"memory": memory}},
    }
    unprivileged = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "priorityClassName": shop.namespace,
        "nodeSelector": node,
        "terminationGracePeriodSeconds": 0,
        "securityContext": unprivileged,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "important"}, "spec": spec}


def test_preemption_does_not_count_as_a_retry(shop: Workshop, images: Images):
    """With no retry left; while the other pod exists, the run says that it waits for room."""
    node, memory = a_node(shop.cluster)
    resources = {"requests": {"cpu": "10m", "memory": memory}, "limits": {"memory": memory}}
    limits = {"download": {"retries": 0, "resources": resources, "nodeSelector": node}}
    shop.run("preempted", dataset=unreachable("busy"), stages=limits)
    shop.running_pod("preempted")
    pod = important_pod(shop, images.runner.reference, node, memory)
    shop.cluster.apply(pod, namespace=shop.namespace)
    stage = shop.wait_for_stage("preempted", "download", reason="Unschedulable", attempts="2")
    assert stage["state"] == "Waiting"
    assert "Insufficient memory" in stage["message"]
    wait_for(lambda: "waits: Unschedulable" in shop.notes("preempted"), PATIENCE, "the Event of the wait")
    shop.kubectl("delete", "pod", "important", "--wait=false")
    shop.running_pod("preempted")
    failed = shop.failure("preempted")  # by its own failure, not by the preemption
    assert failed["reason"] == "DownloadFailed"
    [job] = shop.jobs("preempted").values()
    assert job["status"]["failed"] == 1
