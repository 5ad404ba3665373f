"""The test cluster works as the other tests assume, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testcluster import PATIENCE, local, sandbox, wait_for
from testcluster.cluster import Borrowed

if TYPE_CHECKING:
    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

SECURED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
ASK_THE_API = """
import json, os, ssl, sys, urllib.request
home = "/var/run/secrets/kubernetes.io/serviceaccount/"
server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
token = {"Authorization": "Bearer " + open(home + "token").read()}
request = urllib.request.Request(server + sys.argv[1], headers=token)
trusted = ssl.create_default_context(cafile=home + "ca.crt")
try:
    print(urllib.request.urlopen(request, context=trusted).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""


def pod(image: str, *command: str, claim: str | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod that a restricted namespace admits, with a claim at /data."""
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "command": list(command),
        "securityContext": SECURED,
    }
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    identity = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": identity | {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def output_of(cluster: Cluster, namespace: str, described: dict[str, Any]) -> str:
    """Run a pod to its end and return what it printed."""
    cluster.apply(described, namespace=namespace)

    def has_ended() -> bool:
        found = cluster.get("pod", "probe", f"--namespace={namespace}")
        return found.get("status", {}).get("phase") in {"Succeeded", "Failed"}

    wait_for(has_ended, PATIENCE, "the pod to end")
    return cluster.kubectl("logs", "probe", f"--namespace={namespace}").strip()


def own(cluster: Cluster) -> local.Local:
    """Return the machine of a cluster that was built here, or skip."""
    if not isinstance(cluster.machine, local.Local):
        pytest.skip("looks into a cluster that was built on this machine; this one was not")
    return cluster.machine


def test_node_is_ready_and_reports_the_machines_resources(cluster: Cluster) -> None:
    """The node is Ready, and reports processors, memory and disk that pods can request."""
    [node] = cluster.get("nodes")["items"]
    conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert int(node["status"]["allocatable"]["cpu"]) >= 1
    assert node["status"]["allocatable"]["memory"].endswith("Ki")
    assert int(node["status"]["allocatable"]["ephemeral-storage"]) > 10**9


def test_restricted_pod_writes_only_to_its_volume(cluster: Cluster, images: Images, namespace: str) -> None:
    """Non-root, read-only root, a claim: like every stage of a run."""
    data = cluster.volume(namespace, "data", uid=10001, gid=10001)
    script = "id -u; echo written > /data/file; touch /nowhere 2>/dev/null || echo refused"
    described = pod(images.operator.reference, "sh", "-c", script, claim=data.claim)
    assert output_of(cluster, namespace, described).splitlines() == ["10001", "refused"]
    assert (data.path / "file").read_text() == "written\n"
    assert (data.path / "file").stat().st_uid == 10001


def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster, images: Images, namespace: str) -> None:
    """The test namespaces enforce what the manifests promise."""
    described = pod(images.operator.reference, "true", hostNetwork=True)
    with pytest.raises(Exception, match="violates PodSecurity"):
        cluster.apply(described, namespace=namespace)


@pytest.mark.harness
def test_pod_reaches_the_api_within_its_role(cluster: Cluster, images: Images, namespace: str) -> None:
    """In-cluster access: the service address, the token, and RBAC that refuses by default."""
    inside = f"--namespace={namespace}"
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", inside)
    cluster.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:default", inside
    )
    paths = [f"/api/v1/namespaces/{namespace}/{resource}" for resource in ("configmaps", "secrets")]
    calls = [["python3", "-c", ASK_THE_API, path] for path in paths]
    program = f"import subprocess\nfor call in {calls!r}:\n    subprocess.run(call, check=True)"
    described = pod(images.operator.reference, "python3", "-c", program)
    assert output_of(cluster, namespace, described).split() == ["200", "403"]


@pytest.mark.harness
def test_killed_component_can_be_started_again(cluster: Cluster) -> None:
    """Resilience tests can kill the API server and start it again."""
    if isinstance(cluster.machine, Borrowed):
        pytest.skip("the API server of a cluster that was given is not ours to kill")
    cluster.kill("kube-apiserver")
    cluster.start("kube-apiserver")
    cluster.restart("kube-controller-manager")
    assert cluster.get("namespace", "default")["metadata"]["name"] == "default"


def listening() -> set[int]:
    """Return the TCP ports that listen on the machine's own addresses."""
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(address.rpartition(":")[2], 16) for _, address, _, state, *_ in connections if state == "0A"}


def test_machine_is_unchanged(cluster: Cluster) -> None:
    """The cluster does not listen on the machine, bridge its network or change its firewall."""
    own(cluster)
    assert "cni0" not in Path("/proc/net/dev").read_text()
    assert not {6443, 10250, 2379} & listening()
    chains = subprocess.run(("iptables-save",), capture_output=True, text=True, check=True)
    assert "KUBE" not in chains.stdout


START_A_CONTROL_PLANE = """
import sys
from testcluster import local
cluster = local.up(node=False)
print(cluster.machine.state, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(cluster: Cluster) -> Any:
    """Start another process that creates its own cluster, and waits."""
    own(cluster)
    process = subprocess.Popen(
        (sys.executable, "-c", START_A_CONTROL_PLANE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            "HOME": str(Path.home()),
            "PYTHONPATH": str(Path(__file__).parent),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
    )
    with process:
        yield process
        process.kill()


def traces(state: str) -> list[str]:
    """Return the traces of a cluster: processes, mounts, control groups."""
    commands = [line for line in Path("/proc").glob("[0-9]*/cmdline") if state in read(line)]
    groups = [group for group in sandbox.control_groups(Path(state).name) if group.exists()]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if state in line]
    return [*map(str, commands), *map(str, groups), *mounts]


def read(file: Path) -> str:
    """Return a file of /proc, or an empty text if its process has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.harness
def test_cluster_ends_with_its_owner_and_the_next_one_cleans_up(
    owner: subprocess.Popen[str],
) -> None:
    """Even SIGKILL leaves no process and no mount; the next start removes files and control groups."""
    assert owner.stdout is not None
    state = owner.stdout.readline().strip()
    assert len(traces(state)) > 4
    owner.send_signal(signal.SIGKILL)
    # Another session that starts now may remove it first.
    wait_for(
        lambda: sandbox.is_dead(Path(state)) or not Path(state).exists(),
        PATIENCE,
        "the cluster to end with its owner",
    )
    sandbox.remove_leftovers()
    assert traces(state) == []
    assert not Path(state).exists()


@pytest.mark.harness
def test_a_cluster_left_running_is_found_and_ended_by_the_command_line(
    cluster: Cluster, tmp_path: Path
) -> None:
    """`up` outlives its process, `env` finds it, `down` leaves nothing."""
    own(cluster)
    if local.left_running():
        pytest.skip("a cluster is left running on this machine; it is not this test's to end")

    def testcluster(*arguments: str) -> str:
        done = subprocess.run(
            (sys.executable, "-m", "testcluster", *arguments),
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    kubeconfig = testcluster("up", "--no-node").removeprefix("export KUBECONFIG=")
    try:
        assert testcluster("env") == f"export KUBECONFIG={kubeconfig}"
        copy = tmp_path / "kubeconfig"
        copy.write_text(Path(kubeconfig).read_text())
        version = json.loads(cluster.kubectl("version", f"--kubeconfig={copy}", "--output=json"))
        assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"]
    finally:
        testcluster("down")
    state = str(Path(kubeconfig).parents[1])
    assert traces(state) == []
    assert not Path(state).exists()
