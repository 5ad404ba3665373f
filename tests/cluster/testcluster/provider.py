"""Which cluster the tests get: the given one, kind's if Docker answers, or one built here."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testcluster import kind, local
from testcluster.cluster import Borrowed, Cluster
from testcluster.errors import TestClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KUBECONFIG = "QLIB_SHADOW_TEST_KUBECONFIG"
"""The environment variable for `--kubeconfig`."""


def up(*, node: bool = True, left_running: bool = False) -> Cluster:
    """Start a cluster in the way that this machine allows."""
    if kind.docker_answers() and node:
        return kind.up(left_running=left_running)
    return local.up(node=node, left_running=left_running)


def left_running(*, anywhere: bool = False) -> list[Cluster]:
    """Return the clusters that `up` has left running on this machine, of this checkout or of any."""
    by_kind = kind.left_running() if kind.docker_answers() else []
    return by_kind + (local.left_running(anywhere=anywhere) if is_root() else [])


def is_root() -> bool:
    """Return whether this process may inspect sandboxes."""
    return os.geteuid() == 0


def given(kubeconfig: Path) -> Cluster:
    """Return the cluster of a kubeconfig: one of ours that was left running, or a foreign one."""
    if not kubeconfig.is_file():
        raise TestClusterError(f"there is no kubeconfig at {kubeconfig}; name an existing file, or none")
    left = left_running(anywhere=True)
    ours = [cluster for cluster in left if cluster.kubeconfig == kubeconfig.resolve()]
    cluster = ours[0] if ours else Cluster(kubeconfig, kind.kubectl(), Borrowed(kubeconfig))
    cluster.kubectl("version", "--output=json", "--request-timeout=20s")
    return cluster


@contextmanager
def obtain(kubeconfig: Path | None = None) -> Iterator[Cluster]:
    """Yield a cluster, and end it afterwards if it was created for this."""
    if kubeconfig:
        yield given(kubeconfig)
        return
    cluster = up()
    try:
        yield cluster
    finally:
        cluster.down()
