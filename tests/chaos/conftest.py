"""A control plane for faults, a namespace in it, and operators that are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
from tests.chaos.fakenode import FakeNode
from tests.chaos.operators import Operator
from tests.chaos.scenario import Theatre

from operator_processes import define_runs
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testcluster import Cluster


class Hire(Protocol):
    """Starts an operator."""

    def __call__(self, kubeconfig: Path | None = None, **settings: str) -> Operator:
        """Start it, over another way to the cluster if one is given, with other settings if some are."""


@pytest.fixture(scope="session")
def control_plane(start_control_plane: Callable[[], Cluster]) -> Cluster:
    """Start a control plane for the chaos tests only, so that other tests are not disturbed."""
    cluster = start_control_plane()
    define_runs(cluster)
    return cluster


@pytest.fixture
def place(control_plane: Cluster) -> Iterator[str]:
    """Yield a namespace with a volume."""
    name = f"chaos-{uuid4().hex[:8]}"
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = ("serviceaccount", "default", f"--namespace={name}")
    wait_for(lambda: control_plane.get(*account), PATIENCE, "its service account")
    control_plane.volume(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def node(control_plane: Cluster, place: str) -> Iterator[FakeNode]:
    """Yield a node on which pods succeed within a second."""
    node = FakeNode(control_plane.kubeconfig, place)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def theatre(control_plane: Cluster, place: str, node: FakeNode) -> Theatre:
    """Return a namespace whose pods have a node."""
    del node
    return Theatre(control_plane, place)


@pytest.fixture
def hire(theatre: Theatre, tmp_path: Path) -> Iterator[Hire]:
    """Start operators, and check at the end that none logged a defect."""
    hired: list[Operator] = []

    def start(kubeconfig: Path | None = None, **settings: str) -> Operator:
        log = tmp_path / f"operator-{len(hired)}.log"
        operator = Operator(kubeconfig or theatre.kubeconfig, theatre.namespace, log, settings)
        operator.start()
        hired.append(operator)
        return operator

    yield start
    for operator in hired:
        operator.stop()
