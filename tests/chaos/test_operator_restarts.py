"""A real run with real pods, whose operator is killed repeatedly while it trains."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.chaos.operators import Operator
from tests.chaos.scenario import Theatre
from tests.chaos.test_killed_operators import KILLS

from operator_processes import define_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

A_WHOLE_RUN = 900.0
"""Seconds for one run of the sample market, on a busy machine."""


@pytest.fixture
def operator(cluster: Cluster, images: Images, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    """Start an operator on a cluster with a node, a volume and the runner's image."""
    define_runs(cluster)
    cluster.volume(namespace)
    settings = {"RUNNER_IMAGE": images.runner.reference}
    operator = Operator(cluster.kubeconfig, namespace, tmp_path / "operator.log", settings)
    operator.start()
    yield operator
    operator.stop()


def test_real_run_completes_although_its_operator_is_killed(
    cluster: Cluster, namespace: str, operator: Operator
):
    """The stages continue without it, and after its restart it finds what it missed."""
    theatre = Theatre(cluster, namespace)
    theatre.apply("real", dataset={"source": {"synthetic": {"symbols": 30, "days": 750}}})
    chance = random.Random()
    for _ in range(max(KILLS // 2, 1)):
        operator.die(chance)
    theatre.wait_for_all(A_WHOLE_RUN)
    theatre.check("real")
