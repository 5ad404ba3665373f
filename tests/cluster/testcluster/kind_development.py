"""The operator of this checkout on a kind cluster: `make kind-up`, `make kind-demo`, `make kind-down`.

It installs manifests/overlays/development with the images of this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import images, kind
from testcluster.cluster import Cluster
from testcluster.commands import run, say
from testcluster.errors import TestClusterError
from testcluster.images import REPOSITORY, Images
from testcluster.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "qlib-shadow"
"""The name of the cluster, and of the namespace by default."""
OVERLAY = REPOSITORY / "manifests/overlays/development"
FOLDER = REPOSITORY / kind.MOUNTED
CLAIM = "qlib-shadow-data"


def up(options: argparse.Namespace) -> None:
    """Create the cluster if needed, load the images of this checkout, and install the operator."""
    configuration = kind.configuration(options.configuration, FOLDER)
    make_folder(FOLDER)
    if NAME not in run(kind.program(), "get", "clusters").split():
        say("creating a kind cluster; a minute or two")
        kind.create(NAME, FOLDER / "kubeconfig", configuration)
    install(the_cluster(), images.build(), FOLDER)
    sys.stdout.write(f"export KUBECONFIG={FOLDER / 'kubeconfig'}\n")


def demo(options: argparse.Namespace) -> None:
    """Apply a run, wait for its end, and show it."""
    sys.stdout.write(try_out(the_cluster(), options.run))


def down(_: argparse.Namespace) -> None:
    """Delete the cluster; what its runs left stays in data/kind."""
    run(kind.program(), "delete", "cluster", "--name", NAME)


def check(_: argparse.Namespace) -> None:
    """Do nothing if Docker answers."""


def the_cluster() -> Cluster:
    """Return the cluster that is running."""
    if NAME not in run(kind.program(), "get", "clusters").split():
        raise TestClusterError(f"there is no kind cluster {NAME}; create it: make kind-up")
    return Cluster(FOLDER / "kubeconfig", kind.kubectl(), kind.Kind(NAME, FOLDER))


def make_folder(folder: Path) -> None:
    """Create the volume's folder, writable for the stages' user, which this machine does not have."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data").chmod(0o777)


def install(cluster: Cluster, built: Images, folder: Path, namespace: str = NAME) -> None:
    """Install the development overlay with the built images, and wait until it is ready."""
    for image in (built.runner, built.operator):
        cluster.load_image(image.archive, image.reference)
    _, on_node = cluster.machine.volumes
    (folder / "kustomization.yaml").write_text(kustomization(built, folder, namespace, f"{on_node}/data"))
    cluster.kubectl("apply", f"--kustomize={folder}")
    ready = ("rollout", "status", f"--namespace={namespace}", f"--timeout={PATIENCE}s")
    cluster.kubectl(*ready, "deployment/qlib-shadow-operator")


def kustomization(built: Images, folder: Path, namespace: str, volume: str) -> str:
    """Return the changes to the overlay: images, and for tests the namespace and the volume's folder."""
    repository, _, tag = built.operator.reference.rpartition(":")
    runner = {"name": "QLIB_SHADOW_RUNNER_IMAGE", "value": built.runner.reference}
    container = {"name": "operator", "env": [runner]}
    deployment = {"spec": {"template": {"spec": {"containers": [container]}}}}
    claim_ref = {"namespace": namespace, "name": CLAIM}
    persistent_volume = {"spec": {"hostPath": {"path": volume}, "claimRef": claim_ref}}
    found = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(OVERLAY, folder.resolve())],
        "images": [{"name": "qlib-shadow-operator", "newName": repository, "newTag": tag}],
        "patches": [
            patch("apps/v1", "Deployment", "qlib-shadow-operator", deployment),
            patch("v1", "PersistentVolume", CLAIM, persistent_volume),
        ],
    }
    return json.dumps(found, indent=1)


def patch(version: str, of: str, name: str, change: Mapping[str, object]) -> dict[str, str]:
    """Return a patch of one object."""
    return {"patch": json.dumps({"apiVersion": version, "kind": of, "metadata": {"name": name}, **change})}


def try_out(cluster: Cluster, manifest: Path, namespace: str = NAME) -> str:
    """Apply a run, wait for its end, and return it as kubectl prints it; a failure is its own sentence."""
    where, file = f"--namespace={namespace}", f"--filename={manifest}"
    cluster.kubectl("apply", where, file)
    names = cluster.kubectl("get", where, file, "--output=name").split()
    runs = [name for name in names if name.startswith("qlibshadowrun.")]
    if len(runs) != 1:
        raise TestClusterError(f"{manifest} holds {len(runs)} QlibShadowRuns; exactly one is needed")
    [run] = runs
    cluster.kubectl("wait", where, run, "--for=jsonpath={.status.completionTime}", "--timeout=20m")
    conditions = {one["type"]: one for one in cluster.get(where, run)["status"]["conditions"]}
    if conditions["Failed"]["status"] == "True":
        raise TestClusterError(f"{manifest} failed: {conditions['Failed']['message']}")
    return cluster.kubectl("get", where, run)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser; each verb's help is its function's first line."""
    top = argparse.ArgumentParser(prog="kind_development", description="The operator on a kind cluster.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    for act in (up, demo, down, check):
        verb = verbs.add_parser(act.__name__, help=act.__doc__, description=act.__doc__)
        verb.set_defaults(act=act)
        if act is up:
            choices = sorted(path.stem for path in kind.CONFIGURATIONS.glob("*.yaml"))
            verb.add_argument("configuration", nargs="?", default="one-node", choices=choices)
        if act is demo:
            verb.add_argument("run", type=Path, help="a manifest with a QlibShadowRun")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command; a failure is one sentence."""
    options = parser().parse_args(arguments)
    try:
        kind.require_docker()
        options.act(options)
    except TestClusterError as error:
        sys.stderr.write(f"kind: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
