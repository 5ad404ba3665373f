"""Network policies that are enforced: the pod of a training gets nowhere, that of a download does.

kube-router enforces them on a cluster of this module's own: one that is given may have no such plugin.
The probes are pods as the operator makes them, in which another program runs.
"""

from __future__ import annotations

import copy
import json
import socketserver
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import probe
from operator_processes import Workshop, define_runs, operating, synthetic, workshop
from testcluster import PATIENCE, binaries, wait_for
from testcluster.local import Local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

PROBE = Path(probe.__file__).read_text()
SERVER = """
import socketserver, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        if isinstance(self.request, tuple):
            self.request[1].sendto(b"x", self.client_address)
udp = socketserver.ThreadingUDPServer(("0.0.0.0", 5353), Echo)
threading.Thread(target=udp.serve_forever).start()
socketserver.ThreadingTCPServer(("0.0.0.0", 8080), Echo).serve_forever()
"""
DNS = [
    {"name": "udp", "protocol": "UDP", "port": 53, "targetPort": 5353},
    {"name": "tcp", "protocol": "TCP", "port": 53, "targetPort": 8080},
]
"""The ports of a cluster's name server; the container may not listen on them itself."""
GUARD = ("python", "-P", "-m", "qlib_shadow_runner.guard", "--")
SECONDS = 3
"""For how long a new pod tries to get out."""


class Echo(socketserver.BaseRequestHandler):
    """Answers datagrams, and takes connections."""

    def handle(self) -> None:
        """Answer a datagram."""
        if isinstance(self.request, tuple):
            self.request[1].sendto(b"x", self.client_address)


@dataclass(frozen=True)
class Place:
    """A namespace with the policy, the pods of a run's stages, and goals for them."""

    shop: Workshop
    image: str
    jobs: dict[str, dict[str, Any]]
    goals: dict[str, str]

    def pod(self, name: str, stage: str, *command: str) -> str:
        """Start a pod as the operator makes it for a stage, in which a command runs, and return its name."""
        template = self.jobs[stage]["spec"]["template"]
        [container] = template["spec"]["containers"]
        mine = container | {"image": self.image, "command": list(command), "args": [], "env": []}
        labels = {key: template["metadata"]["labels"][key] for key in self.labels}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": template["spec"] | {"containers": [mine]},
        }
        self.shop.cluster.apply(pod, namespace=self.shop.namespace)
        return name

    @property
    def labels(self) -> set[str]:
        """Return the labels by which the policy selects pods."""
        [policy] = self.shop.objects("networkpolicies")
        selector = policy["spec"]["podSelector"]
        return {*selector["matchLabels"], *(one["key"] for one in selector["matchExpressions"])}

    def told(self, name: str, stage: str, *guard: str) -> dict[str, Any]:
        """Try to get out from a pod's first line on, and return what was reached."""
        self.pod(name, stage, *guard, *self.trying(SECONDS))
        ended = "--for=jsonpath={.status.phase}=Succeeded"
        self.shop.kubectl("wait", ended, f"pod/{name}", f"--timeout={PATIENCE}s")
        answer: dict[str, Any] = json.loads(self.shop.kubectl("logs", name))
        return answer

    def reached_from(self, name: str) -> set[str]:
        """Return what a running pod reaches now."""
        answer = json.loads(self.shop.kubectl("exec", name, "--", *self.trying(0)))
        return {goal for goal, count in answer["reached"].items() if count}

    def trying(self, seconds: int) -> tuple[str, ...]:
        """Return the probe's command; -I keeps the guard's hook out, so that only the kernel refuses."""
        return (
            "python",
            "-I",
            "-c",
            PROBE,
            str(seconds),
            *(f"{name}={goal}" for name, goal in self.goals.items()),
        )


@pytest.fixture(scope="module")
def walled(own_cluster: Callable[..., Cluster], built_images: Images) -> Cluster:
    """Start a cluster that enforces network policies."""
    cluster = own_cluster(policies=True)
    cluster.load_image(binaries.stage(), binaries.STAGE)
    cluster.load_image(built_images.runner.archive, built_images.runner.reference)
    define_runs(cluster)
    return cluster


@pytest.fixture(scope="module")
def outside(walled: Cluster) -> Iterator[dict[str, str]]:
    """Serve on the machine, which is the world outside the cluster; return the goals."""
    assert isinstance(walled.machine, Local)
    here = str(IPv4Address(int(walled.machine.sandbox.address) - 1))
    servers = {"tcp": socketserver.ThreadingTCPServer, "udp": socketserver.ThreadingUDPServer}
    with ExitStack() as stack:
        goals = {}
        for kind, server in servers.items():
            serving = stack.enter_context(server((here, 0), Echo))
            threading.Thread(target=serving.serve_forever, daemon=True).start()
            stack.callback(serving.shutdown)
            goals[f"outside-{kind}"] = f"{kind}:{here}:{serving.server_address[1]}"
        yield goals


@pytest.fixture(scope="module")
def yard(
    walled: Cluster, outside: dict[str, str], built_images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Let the operator make the Jobs of a run, and start a server of names and of other things."""
    image = built_images.runner.reference
    with workshop(walled) as shop:
        with operating(walled, tmp_path_factory.mktemp("network"), (shop.namespace,), binaries.STAGE):
            # In a queue that is not served, Jobs stay as they were made.
            shop.run("probed", queueName="not-served", dataset=synthetic("probed"))
            download = job_of(shop, "download")
            shop.kubectl("patch", "job", download["metadata"]["name"], '--patch={"spec":{"suspend":false}}')
            jobs = {"download": download, "qrun": job_of(shop, "qrun")}
        # A Job of the ledger would be made after a training alone; its pod differs by this label.
        jobs["ledger"] = copy.deepcopy(jobs["qrun"])
        jobs["ledger"]["spec"]["template"]["metadata"]["labels"]["qlibshadow.io/stage"] = "ledger"
        place = Place(shop, image, jobs, {})
        place.pod("server", "download", "python", "-c", SERVER)
        shop.kubectl("label", "pod", "server", "serves=everything")
        spec = {"selector": {"serves": "everything"}, "ports": DNS}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "names"}, "spec": spec}
        walled.apply(service, namespace=shop.namespace)
        shop.kubectl("wait", "--for=condition=Ready", "pod/server", f"--timeout={PATIENCE}s")
        server = shop.get("pod", "server")["status"]["podIP"]
        names = shop.get("service", "names")["spec"]["clusterIP"]
        within = {"pod-tcp": f"tcp:{server}:8080", "pod-udp": f"udp:{server}:5353"}
        dns = {"dns-udp": f"udp:{names}:53", "dns-tcp": f"tcp:{names}:53", "api": "tcp:10.96.0.1:443"}
        yield Place(shop, image, jobs, within | dns | outside)


def job_of(shop: Workshop, stage: str) -> dict[str, Any]:
    """Wait for a stage's Job."""
    selector = f"--selector=qlibshadow.io/run=probed,qlibshadow.io/stage={stage}"
    [job] = wait_for(lambda: shop.objects("jobs", selector), PATIENCE, f"the Job of {stage}")
    return dict(job)


def test_download_gets_out(yard: Place):
    """It needs the network, and the policy does not select it. So the goals can be reached."""
    pod = yard.pod("fetches", "download", "sleep", "3600")
    yard.shop.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE}s")
    wait_for(lambda: yard.reached_from(pod) == set(yard.goals), PATIENCE, "every goal to be reached")


@pytest.mark.parametrize("stage", ["qrun", "ledger"])
def test_closed_stage_reaches_nothing(yard: Place, stage: str):
    """Neither by TCP nor by UDP nor the name server: no pod, no service, no API server, nothing outside."""
    pod = yard.pod(f"closed-{stage}", stage, "sleep", "3600")
    yard.shop.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE}s")
    wait_for(lambda: not yard.reached_from(pod), PATIENCE, "the policy to be enforced")
    assert yard.reached_from(pod) == set()


def test_guard_of_the_training_closes_the_gap_of_a_new_pod(yard: Place):
    """A plugin learns a pod's address after its start. Stopped, it never does; the guard does not need it."""
    yard.shop.cluster.kill("kube-router")
    try:
        bare = yard.told("new-and-bare", "qrun")
        guarded = yard.told("new-and-guarded", "qrun", *GUARD)
    finally:
        yard.shop.cluster.start("kube-router")
    assert all(bare["reached"].values())  # otherwise nothing would be shown
    assert guarded["tries"] > 0
    assert set(guarded["reached"].values()) == {0}
