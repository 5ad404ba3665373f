"""A cluster built from source on this machine, in a sandbox: a control plane and one node in seconds."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import binaries, components, packages, sandbox
from testcluster.certificates import Authority
from testcluster.cluster import Cluster
from testcluster.commands import run, succeeds
from testcluster.errors import TestClusterError
from testcluster.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from testcluster.sandbox import Sandbox


@dataclass(frozen=True)
class Local:
    """The machine under a local cluster."""

    sandbox: Sandbox

    @property
    def state(self) -> Path:
        """Return the folder that holds everything of this cluster."""
        return self.sandbox.state

    @property
    def volumes(self) -> tuple[Path, str]:
        """Return the folder for volumes; node and tests see the same."""
        return self.state / "volumes", f"{self.state}/volumes"

    def ctr(self, *arguments: str | Path) -> list[str]:
        """Return the command line of containerd's own client."""
        where = (f"--address={self.state}/containerd.sock", "--namespace=k8s.io")
        return self.sandbox.inside("ctr", *where, *arguments)

    def load_image(self, archive: Path) -> None:
        """Import an archive into containerd."""
        run(*self.ctr("images", "import", archive))

    def has_image(self, reference: str) -> bool:
        """Whether containerd has the image."""
        return bool(run(*self.ctr("images", "list", "--quiet", f"name=={reference}")).strip())

    def start(self, component: str) -> None:
        """Start a component; its output continues in the same log."""
        arguments = json.loads((self.state / "commands.json").read_text())[component]
        with (self.state / "logs" / f"{component}.log").open("a") as log:
            process = subprocess.Popen(
                self.sandbox.inside(self.program(component), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        STARTED.append(process)

    def kill(self, component: str, number: int) -> None:
        """Send a signal to a component, and wait for its end."""
        numbers = self.processes(component)
        if not numbers:
            raise TestClusterError(
                f"{component} does not run; the parts are {', '.join(self.running()) or 'gone'}"
            )
        for process in numbers:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        wait_for(lambda: all(map(has_ended, numbers)), PATIENCE, f"the end of {component}")

    def running(self) -> list[str]:
        """Return the names of the running components."""
        parts = (*components.CONTROL_PLANE, *components.NODE)
        return [name for name in parts if self.processes(name)]

    def processes(self, component: str) -> list[int]:
        """Return a component's processes, by the path that only this cluster starts it from."""
        own = os.fsencode(self.program(component)) + b"\0"
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if line.read_bytes().startswith(own):
                    found.append(int(line.parent.name))
        return found

    def program(self, component: str) -> Path:
        """Return the path of a component's program, the cluster's own link to it."""
        return self.state / "bin" / component

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs of components and pods."""
        shutil.copytree(self.state / "logs", folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)

    def down(self) -> None:
        """End the sandbox, and with it everything."""
        self.sandbox.end()
        for process in STARTED:
            if process.args[1] == f"--target={self.sandbox.init}":  # type: ignore[index]
                process.wait()


def has_ended(process: int) -> bool:
    """Return whether a process is gone with everything that it held.

    Its command line goes first, and its first thread may be dead (Z) while others still hold its sockets.
    """
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        threads = sum(1 for _ in Path(f"/proc/{process}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"} and threads <= 1


STARTED: list[subprocess.Popen[bytes]] = []
"""The components that this process started, to reap when they have ended."""


def up(*, node: bool = True, left_running: bool = False, policies: bool = False) -> Cluster:
    """Start a cluster; it ends with this process unless it is left running.

    Without `policies`, network policies are kept but not enforced.
    """
    sandbox.require_root()
    packages.require(packages.NODE | (packages.POLICIES if policies else {}))
    folders = (binaries.kubernetes(), binaries.etcd(), *((binaries.kube_router(),) if policies else ()))
    machine = Local(sandbox.start(left_running=left_running))
    try:
        cluster = boot(machine, folders, node=node)
        if policies:
            enforce_policies(machine)
    except BaseException:
        machine.down()
        raise
    return cluster


def enforce_policies(machine: Local) -> None:
    """Start kube-router, and wait until its rules are in the way of pods."""
    machine.start("kube-router")
    wait_for(lambda: policies_are_enforced(machine), PATIENCE, "kube-router's rules")


def policies_are_enforced(machine: Local) -> bool:
    """Return whether kube-router has set its rules; until then, what it has said last is the error."""
    if succeeds(*machine.sandbox.inside("iptables", "-S", "KUBE-ROUTER-FORWARD")):
        return True
    said = (machine.state / "logs" / "kube-router.log").read_text(errors="replace").strip()
    raise TestClusterError(f"its log ends with: {said.rpartition(chr(10))[2] or 'nothing'}")


def boot(machine: Local, folders: tuple[Path, ...], *, node: bool) -> Cluster:
    """Start the components in the order in which they need each other: too early makes them wait longer."""
    state, address = machine.state, machine.sandbox.address
    prepare(state, folders)
    pki = identities(state, str(address))
    commands = components.control_plane(state, pki, address)
    if node:
        commands |= components.node(state, pki, address)
    (state / "commands.json").write_text(json.dumps(commands))
    cluster = Cluster(pki.kubeconfig("admin"), state / "bin" / "kubectl", machine)
    for component in ("etcd", "kube-apiserver", *(("containerd",) if node else ())):
        machine.start(component)
    if node:
        wait_for(lambda: succeeds(*machine.ctr("version")), PATIENCE, "containerd")
        machine.load_image(binaries.pause())
    wait_for(lambda: is_ready(pki), PATIENCE, "the API server")
    for component in ("kube-controller-manager", "kube-scheduler", *(("kubelet",) if node else ())):
        machine.start(component)
    if node:
        name = f"node/{components.NODE_NAME}"
        cluster.kubectl("wait", "--for=create", name, f"--timeout={PATIENCE}s")
        machine.start("kube-proxy")
        cluster.kubectl("wait", "--for=condition=Ready", name, f"--timeout={PATIENCE}s")
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--timeout={PATIENCE}s")
    return cluster


def prepare(state: Path, folders: tuple[Path, ...]) -> None:
    """Create the cluster's folders, and its own links to the programs."""
    for name in ("bin", "logs", "volumes"):
        (state / name).mkdir()
    for program in (program for folder in folders for program in folder.iterdir()):
        (state / "bin" / program.name).symlink_to(program)
    (state / "bin" / "containerd").symlink_to(shutil.which("containerd") or "/usr/bin/containerd")


def identities(state: Path, address: str) -> Authority:
    """Create all certificates and kubeconfigs."""
    pki = Authority.make(state / "pki", f"https://{address}:{components.API_PORT}")
    served = ("DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", f"IP:{components.API_SERVICE}")
    pki.issue("apiserver", "/CN=kube-apiserver", *served, f"IP:{address}")
    pki.issue("admin", "/O=system:masters/CN=admin")
    pki.issue("controller-manager", "/CN=system:kube-controller-manager")
    pki.issue("scheduler", "/CN=system:kube-scheduler")
    pki.issue("kube-proxy", "/CN=system:kube-proxy")
    node = components.NODE_NAME
    pki.issue("kubelet", f"/O=system:nodes/CN=system:node:{node}", f"DNS:{node}", f"IP:{address}")
    return pki


def is_ready(pki: Authority) -> bool:
    """Return whether the API server is ready, without kubectl, whose repeated start takes processor time."""
    try:
        trusted = ssl.create_default_context(cafile=pki.certificate)
        with urllib.request.urlopen(f"{pki.server}/readyz", context=trusted, timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def left_running(*, anywhere: bool = False) -> list[Cluster]:
    """Return the clusters that this checkout has left running, or any checkout."""
    return [
        Cluster(box.state / "pki" / "admin.conf", box.state / "bin" / "kubectl", Local(box))
        for box in sandbox.find()
        if box.is_left_running(anywhere=anywhere)
    ]
