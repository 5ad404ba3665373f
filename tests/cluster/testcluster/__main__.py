"""The command line: `python -m testcluster build|images|up|load|env|down`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import binaries, images, packages, provider, publish, sandbox
from testcluster.engines import engine
from testcluster.errors import TestClusterError

if TYPE_CHECKING:
    from testcluster.cluster import Cluster


def show(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")


def build(options: argparse.Namespace) -> None:
    """Compile Kubernetes and etcd for a cluster without Docker, or its optional parts."""
    if options.parts:
        sandbox.require_root()  # no other user can use them
        made: tuple[Path, ...] = (binaries.kube_router(), binaries.kueue())
    else:
        packages.require(packages.NODE)
        made = (binaries.kubernetes(), binaries.etcd(), binaries.pause())
    for folder in made:
        show(str(folder))


def build_images(options: argparse.Namespace) -> None:
    """Build both images if they have changed; tag them for a registry, and push them there."""
    publish.check(options.registry, options.push)
    built = images.build()
    for image in (built.runner, built.operator):
        show(f"{image.reference}  {image.megabytes:.0f} MB  {image.archive}")
        if options.registry:
            name = publish.publish(engine(), image, options.registry, push=bool(options.push))
            show(f"{name}  {'pushed' if options.push else 'not pushed; PUSH=1 does'}")


def up(options: argparse.Namespace) -> None:
    """Start a cluster and leave it running; keep one that runs already."""
    running = provider.left_running()
    cluster = running[0] if running else provider.up(node=options.node, left_running=True)
    show(f"export KUBECONFIG={cluster.kubeconfig}")


def the_cluster() -> Cluster:
    """Return the cluster that was left running."""
    if running := provider.left_running():
        return running[0]
    raise TestClusterError("no cluster is running; start one: make cluster-up")


def load(options: argparse.Namespace) -> None:
    """Load an image archive into the running cluster."""
    the_cluster().machine.load_image(options.archive)


def env(_: argparse.Namespace) -> None:
    """Print the line that points kubectl at the running cluster."""
    show(f"export KUBECONFIG={the_cluster().kubeconfig}")


def down(_: argparse.Namespace) -> None:
    """End the running cluster, and remove what killed ones left behind."""
    for cluster in provider.left_running():
        cluster.down()
    if provider.is_root():
        sandbox.remove_leftovers()


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser; each verb's help is its function's first line."""
    top = argparse.ArgumentParser(prog="testcluster", description="A real Kubernetes cluster for tests.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    acts = {"build": build, "images": build_images, "up": up, "load": load, "env": env, "down": down}
    for name, act in acts.items():
        verb = verbs.add_parser(name, help=act.__doc__, description=act.__doc__)
        verb.set_defaults(act=act)
        if act is up:
            alone = "start the control plane alone"
            verb.add_argument("--no-node", dest="node", action="store_false", help=alone)
        if act is build:
            verb.add_argument("--parts", action="store_true", help="Kueue and kube-router instead")
        if act is build_images:
            verb.add_argument("--registry", default="", help="name them for this registry, with the version")
            verb.add_argument("--push", default="", help="1: and push them there")
        if act is load:
            verb.add_argument("archive", type=Path, help="a docker-archive or OCI archive")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command; a failure is one sentence."""
    options = parser().parse_args(arguments)
    try:
        options.act(options)
    except TestClusterError as error:
        sys.stderr.write(f"testcluster: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a compiler ends, too
    sys.exit(main())
