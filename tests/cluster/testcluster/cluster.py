"""A cluster as tests use it, wherever it runs."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from testcluster.commands import run
from testcluster.errors import UnavailableError
from testcluster.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from pathlib import Path


class Machine(Protocol):
    """The operations that differ by where the cluster runs."""

    @property
    def volumes(self) -> tuple[Path, str]:
        """The folder for volumes, as this process sees it and as the node does."""
        ...

    def load_image(self, archive: Path) -> None:
        """Load an image archive onto the node."""
        ...

    def has_image(self, reference: str) -> bool:
        """Return whether the node has the image."""
        ...

    def kill(self, component: str, number: int) -> None:
        """Send a signal to a component, and wait for its end."""
        ...

    def start(self, component: str) -> None:
        """Start a component that has ended."""
        ...

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs of components and pods."""
        ...

    def down(self) -> None:
        """End the cluster and leave nothing behind."""
        ...


@dataclass(frozen=True)
class Volume:
    """A bound claim whose content the tests can read and write."""

    claim: str
    path: Path


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    kubeconfig: Path
    kubectl_program: Path
    machine: Machine

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl against this cluster and return what it printed."""
        where = f"--kubeconfig={self.kubeconfig}"
        return run(self.kubectl_program, where, *arguments, stdin=input, check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object, or a list of them, as the API returns it; {} if it does not exist."""
        answer = self.kubectl("get", "--output=json", "--ignore-not-found", *arguments)
        return dict(json.loads(answer)) if answer else {}

    def apply(self, *objects: dict[str, Any], namespace: str | None = None) -> None:
        """Create or change objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        where = (f"--namespace={namespace}",) if namespace else ()
        self.kubectl("apply", *where, "--filename=-", input=text)

    def load_image(self, archive: Path, reference: str) -> None:
        """Load an image onto the node, unless it is there."""
        if not self.machine.has_image(reference):
            self.machine.load_image(archive)

    def kill(self, component: str, number: int = signal.SIGKILL) -> None:
        """Kill a component (`kube-apiserver`, `kubelet`, ...) and leave it stopped."""
        self.machine.kill(component, number)

    def start(self, component: str) -> None:
        """Start a killed component."""
        self.machine.start(component)
        self.wait_until_ready()

    def restart(self, component: str) -> None:
        """Stop a component in order, start it again and wait until the API answers."""
        self.machine.kill(component, signal.SIGTERM)
        self.start(component)

    def wait_until_ready(self, timeout: float = PATIENCE) -> None:
        """Wait until the API server is ready."""
        wait_for(lambda: self.kubectl("get", "--raw=/readyz") == "ok", timeout, "the API server")

    def wait_until_served(self, definition: str, timeout: float = PATIENCE) -> None:
        """Wait until a resource is served; `kubectl wait` fails for one without conditions."""
        wait_for(lambda: self.is_served(definition), timeout, f"{definition} to be served")

    def is_served(self, definition: str) -> bool:
        """Return whether objects of a custom resource can be created, and discovery lists it."""
        crd = self.get("crd", definition)
        conditions = crd.get("status", {}).get("conditions") or ()
        if not any((one["type"], one["status"]) == ("Established", "True") for one in conditions):
            return False
        versions = [one["name"] for one in crd["spec"]["versions"] if one["served"]]
        return all(self.is_discovered(crd["spec"]["group"], version, definition) for version in versions)

    def is_discovered(self, group: str, version: str, definition: str) -> bool:
        """Return whether the API server lists a resource in its group, which happens a moment later."""
        listed = json.loads(self.kubectl("get", f"--raw=/apis/{group}/{version}"))
        return any(f"{one['name']}.{group}" == definition for one in listed["resources"])

    def volume(
        self, namespace: str, name: str = "data", size: str = "10Gi", uid: int = 10001, gid: int = 10001
    ) -> Volume:
        """Create a folder on the node that belongs to uid:gid, and a bound claim of that name on it."""
        here, on_node = self.machine.volumes
        folder = here / namespace / name
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(folder, uid, gid)
            folder.chmod(0o770)
        else:  # on kind, whose user cannot change owners
            folder.chmod(0o777)
        self.apply(*claim_and_volume(namespace, name, size, f"{on_node}/{namespace}/{name}"))
        wait_for(lambda: self.is_bound(namespace, name), PATIENCE, f"the claim {name} to be bound")
        return Volume(name, folder)

    def is_bound(self, namespace: str, claim: str) -> bool:
        """Return whether a claim has its volume."""
        found = self.get("pvc", claim, f"--namespace={namespace}")
        return bool(found) and found["status"].get("phase") == "Bound"

    def down(self) -> None:
        """End the cluster and leave nothing behind."""
        self.machine.down()


def claim_and_volume(namespace: str, name: str, size: str, path: str) -> tuple[dict[str, Any], ...]:
    """Return a volume in a folder of the node and the only claim that may have it."""
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    labels = {"qlibshadow.io/test-namespace": namespace}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}", "labels": labels},
        "spec": shared
        | {
            "capacity": {"storage": size},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": path, "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": name},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": shared | {"volumeName": f"{namespace}-{name}", "resources": {"requests": {"storage": size}}},
    }
    return volume, claim


@dataclass(frozen=True)
class Borrowed:
    """An existing cluster, given by its kubeconfig; the tests do not change it."""

    kubeconfig: Path

    def _refuse(self, what: str) -> UnavailableError:
        return UnavailableError(f"{what} needs a cluster that the tests made; {self.kubeconfig} was given")

    @property
    def volumes(self) -> tuple[Path, str]:
        """Refuse: the tests cannot reach the node's disk."""
        raise self._refuse("a volume that the tests can read")

    def load_image(self, archive: Path) -> None:
        """Refuse: images reach the node only by a registry."""
        raise self._refuse(f"loading {archive.name}")

    def has_image(self, reference: str) -> bool:
        """Return whether the image's name has a registry, which is assumed to have it."""
        return not reference.startswith("localhost/")

    def kill(self, component: str, number: int) -> None:
        """Refuse."""
        raise self._refuse(f"sending signal {number} to {component}")

    def start(self, component: str) -> None:
        """Refuse."""
        raise self._refuse(f"starting {component}")

    def keep_logs(self, folder: Path) -> None:
        """Keep none: the cluster's owner has them."""

    def down(self) -> None:
        """Leave it as it is."""
