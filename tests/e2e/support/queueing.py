"""Kueue in a cluster of a test's own, installed as its own manifests say, and its queues.

All its webhooks are of failurePolicy Fail: while it is away no Job can be created. So it never gets into a
cluster that other tests use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from testcluster import PATIENCE, binaries, wait_for

if TYPE_CHECKING:
    from testcluster import Cluster

NAMESPACE = "kueue-system"
CONTROLLER = "deployment/kueue-controller-manager"
API = "kueue.x-k8s.io/v1beta2"
NO_USER = 65532
"""The image names no user, and the pod may not be root."""
GROUPS = {"kueue.x-k8s.io", "batch"}
"""Webhooks about other groups would refuse pods and Deployments of any namespace while Kueue starts."""
QUEUE = "research"


@dataclass(frozen=True)
class Queues:
    """A cluster with Kueue, whose one ClusterQueue the tests change."""

    cluster: Cluster

    def offer(self, cpu: str, stop: str = "None") -> None:
        """Set the quota, and whether the queue is stopped: None, Hold or HoldAndDrain."""
        quotas = [{"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": "64Gi"}]
        group = {"coveredResources": ["cpu", "memory"], "flavors": [{"name": "any", "resources": quotas}]}
        spec = {
            "namespaceSelector": {},
            "resourceGroups": [group],
            "stopPolicy": stop,
            "preemption": {"withinClusterQueue": "LowerPriority"},
        }
        self.cluster.apply(named("ResourceFlavor", "any"), named("ClusterQueue", QUEUE) | {"spec": spec})

    def stop(self, policy: str) -> None:
        """Stop the queue or let it go on, without a change of its quota."""
        patch = json.dumps({"spec": {"stopPolicy": policy}})
        self.cluster.kubectl("patch", "clusterqueue", QUEUE, "--type=merge", f"--patch={patch}")

    def open_in(self, namespace: str) -> None:
        """Create the LocalQueue of a namespace."""
        queue = named("LocalQueue", QUEUE) | {"spec": {"clusterQueue": QUEUE}}
        self.cluster.apply(queue, namespace=namespace)

    def leave(self) -> None:
        """End the controller, and with it the answers of its webhooks."""
        self._scale(0)
        gone = ("wait", "--for=delete", "pod", "--all", f"--timeout={PATIENCE}s")
        self.cluster.kubectl(f"--namespace={NAMESPACE}", *gone)

    def come_back(self) -> None:
        """Start the controller again, and wait until its webhooks answer."""
        self._scale(1)
        wait_for(lambda: answers(self.cluster), PATIENCE, "Kueue's webhooks")

    def _scale(self, replicas: int) -> None:
        self.cluster.kubectl(f"--namespace={NAMESPACE}", "scale", CONTROLLER, f"--replicas={replicas}")


def named(kind: str, name: str) -> dict[str, Any]:
    """Return the head of one of Kueue's objects."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}}


def install(cluster: Cluster) -> Queues:
    """Install Kueue, and wait until it answers."""
    built = binaries.kueue()
    cluster.load_image(built / binaries.KUEUE_ARCHIVE, binaries.KUEUE)
    rendered = cluster.kubectl("kustomize", str(built / "config" / "default"))
    objects = [fitted(one) for one in yaml.safe_load_all(rendered) if one and one["kind"] != "APIService"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    # The CRD of Workload is larger than the annotation that a plain apply makes of it.
    cluster.kubectl("apply", "--server-side", "--filename=-", input=text)
    wait_for(lambda: answers(cluster), PATIENCE, "Kueue's webhooks")
    return Queues(cluster)


def fitted(one: dict[str, Any]) -> dict[str, Any]:
    """Return one of Kueue's own objects, changed where a small cluster without aggregated APIs needs it."""
    if one["kind"] == "Deployment":
        pod = one["spec"]["template"]["spec"]
        pod["securityContext"]["runAsUser"] = NO_USER
        [controller] = pod["containers"]
        controller |= {"image": binaries.KUEUE, "imagePullPolicy": "Never", "resources": {}}
        controller["args"].append("--feature-gates=VisibilityOnDemand=false")
        controller["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}
    if one["kind"] == "ConfigMap":
        [(file, text)] = one["data"].items()
        settings = yaml.safe_load(text)
        settings["integrations"]["frameworks"] = ["batch/job"]
        # A controller that is started again would wait for the lease of the one before.
        settings["leaderElection"]["leaderElect"] = False
        one["data"][file] = yaml.safe_dump(settings)
    if one["kind"].endswith("WebhookConfiguration"):
        one["webhooks"] = [hook for hook in one["webhooks"] if groups(hook) <= GROUPS]
    return one


def groups(webhook: dict[str, Any]) -> set[str]:
    """Return the API groups that a webhook is asked about."""
    return {group for rule in webhook["rules"] for group in rule["apiGroups"]}


def answers(cluster: Cluster) -> bool:
    """Return whether the webhooks let objects in; waiting takes the error of a refusal for "not yet"."""
    container = {"name": "main", "image": "none"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [named("ResourceFlavor", "probe"), job]})
    cluster.kubectl("create", "--dry-run=server", "--filename=-", input=text)
    return True
