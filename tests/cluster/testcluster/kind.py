"""A cluster by kind, for machines with Docker, as most contributors have.

Written from kind's documentation and not tested in the project's own environment, which has no Docker.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testcluster import binaries, cache, toolchain
from testcluster.cluster import Cluster
from testcluster.commands import run, say, succeeds
from testcluster.errors import UnavailableError

CONFIGURATIONS = Path(__file__).parent.parent / "kind"
MOUNTED = "data/kind"
"""The folder that the configurations mount into each node, relative to the repository's root."""
ON_NODE = "/qlib-shadow-volumes"
"""Its path in the node."""
PREFIX = "qlib-shadow-"
LEFT_RUNNING = f"left-{cache.digest([str(Path(__file__).resolve())])[:8]}"
"""Docker's clusters are the whole machine's; this name is one checkout's."""
BACK_BY_THEMSELVES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
"""Static pods and a daemon set: the kubelet restarts them."""


def docker_answers() -> bool:
    """Return whether a Docker engine answers, not only its command exists."""
    return shutil.which("docker") is not None and succeeds("docker", "info")


def require_docker() -> None:
    """Refuse what only Docker can do, before anything that takes long."""
    if not docker_answers():
        raise UnavailableError(
            "kind needs Docker, and Docker does not answer; start or install it, or do without:"
            " make cluster-up and make cluster-test, as root on Debian"
        )


def program() -> Path:
    """Return kind: the one on PATH, or the pinned one."""
    found = shutil.which("kind")
    return Path(found) if found else pinned()


def pinned() -> Path:
    """Compile kind from its pinned module."""

    def make(folder: Path) -> None:
        say("compiling kind; half a minute, then kept")
        toolchain.build(binaries.MODULES / "kind", folder / "kind", "-ldflags=-s -w", "sigs.k8s.io/kind")

    return cache.keep("kind", binaries.key("kind"), make) / "kind"


def configuration(name: str, folder: Path) -> str:
    """Return a configuration, with another folder mounted into its nodes."""
    return (
        (CONFIGURATIONS / f"{name}.yaml").read_text().replace(f"hostPath: {MOUNTED}", f"hostPath: {folder}")
    )


def kubectl() -> Path:
    """Return kubectl: the one on PATH, or the one built with the local cluster's programs."""
    found = shutil.which("kubectl")
    return Path(found) if found else binaries.kubernetes() / "kubectl"


@dataclass(frozen=True)
class Kind:
    """The machine under a kind cluster: one container."""

    name: str
    folder: Path

    @property
    def node(self) -> str:
        """Return the name of the node's container."""
        return f"{self.name}-control-plane"

    @property
    def volumes(self) -> tuple[Path, str]:
        """Return the folder that is mounted into the node."""
        return self.folder / "volumes", ON_NODE

    def execute(self, *command: str) -> str:
        """Run a command on the node."""
        return run("docker", "exec", self.node, *command)

    def load_image(self, archive: Path) -> None:
        """Load an archive into the node."""
        run(program(), "load", "image-archive", archive, "--name", self.name)

    def has_image(self, reference: str) -> bool:
        """Return whether the node's containerd has the image."""
        return reference in self.execute("ctr", "--namespace=k8s.io", "images", "list", "--quiet")

    def kill(self, component: str, number: int) -> None:
        """Send a signal to a component; the kubelet is stopped as a service, or it would restart at once."""
        if component == "kubelet":
            self.execute("systemctl", "stop", "kubelet")
        else:
            self.execute("pkill", f"-{signal.Signals(number).name[3:]}", "-x", component[:15])

    def start(self, component: str) -> None:
        """Start a component, unless the kubelet does."""
        if component not in BACK_BY_THEMSELVES:
            self.execute("systemctl", "start", component)

    def keep_logs(self, folder: Path) -> None:
        """Export the logs that kind collects."""
        run(program(), "export", "logs", folder, "--name", self.name)

    def down(self) -> None:
        """Delete the cluster and its folder."""
        run(program(), "delete", "cluster", "--name", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)


def up(*, left_running: bool = False) -> Cluster:
    """Create a cluster; delete earlier ones whose owner is gone."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix="qlib-shadow-kind-"))
    (folder / "volumes").mkdir()
    machine = Kind(f"{PREFIX}{LEFT_RUNNING if left_running else os.getpid()}", folder)
    kubeconfig = folder / "kubeconfig"
    try:
        create(machine.name, kubeconfig, configuration("one-node", folder / "volumes"))
    except BaseException:
        machine.down()
        raise
    return Cluster(kubeconfig, kubectl(), machine)


def create(name: str, kubeconfig: Path, config: str) -> None:
    """Create a cluster by kind, and wait until it is ready."""
    names = ("--name", name, "--kubeconfig", kubeconfig)
    run(program(), "create", "cluster", *names, "--wait=180s", "--config=-", stdin=config)


def clusters() -> list[str]:
    """Return the names of the kind clusters of this module."""
    return [name for name in run(program(), "get", "clusters").split() if name.startswith(PREFIX)]


def remove_leftovers() -> None:
    """Delete the clusters whose owner was killed."""
    for name in clusters():
        owner = name.removeprefix(PREFIX)
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            run(program(), "delete", "cluster", "--name", name)


def left_running() -> list[Cluster]:
    """Return the cluster that was left running; its folder is its node's mount."""
    name = f"{PREFIX}{LEFT_RUNNING}"
    if name not in clusters():
        return []
    mounts = json.loads(run("docker", "inspect", "--format={{json .Mounts}}", f"{name}-control-plane"))
    folder = next(Path(mount["Source"]).parent for mount in mounts if mount["Destination"] == ON_NODE)
    return [Cluster(folder / "kubeconfig", kubectl(), Kind(name, folder))]
