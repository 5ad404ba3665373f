"""The installation, and the runs that the tests inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from installation import DEMO, NAMESPACE, Installation, overlay
from testcluster import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster import Cluster
    from testcluster.images import Images


@pytest.fixture(scope="session")
def installation(
    cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Install the operator and a claim; remove both afterwards."""
    folder = overlay(tmp_path_factory.mktemp("overlay"), images)
    rendered = cluster.kubectl("kustomize", str(folder))
    cluster.kubectl("apply", "-f", "-", input=rendered)
    volume = cluster.volume(NAMESPACE, "qlib-shadow-data", "20Gi", uid=10001, gid=10001)
    ready = ("rollout", "status", "deployment/qlib-shadow-operator", f"--timeout={PATIENCE}s")
    cluster.kubectl("-n", NAMESPACE, *ready)
    yield Installation(cluster, NAMESPACE, volume.path)
    cluster.kubectl("delete", "--wait=true", "--ignore-not-found", "-f", "-", input=rendered)


@pytest.fixture(scope="session")
def finished_demo(installation: Installation) -> dict[str, Any]:
    """Apply the sample and wait as a user would; return the resource."""
    installation.kubectl("apply", "-f", str(DEMO))
    try:
        installation.kubectl("wait", "--for=condition=Complete", "qsr/demo", "--timeout=600s")
    except Exception:
        print(installation.kubectl("describe", "qsr", "demo", check=False))  # noqa: T201
        print(installation.kubectl("get", "pods,jobs", check=False))  # noqa: T201
        print(installation.kubectl("logs", "deployment/qlib-shadow-operator", check=False))  # noqa: T201
        raise
    return installation.get("qsr", "demo")
