"""What a run costs, where it can be counted and not only timed: calls to the API server, and Jobs.

The stages end at once (tests/cluster/go/stage). Times are in docs/benchmarks.md.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from testcluster import PATIENCE, UnavailableError, binaries, wait_for

if TYPE_CHECKING:
    from installation import Installation

pytestmark = pytest.mark.cluster

RUNS = 20
CALLS = 8
"""Reads and writes that a run may cost, Events apart."""
TROUBLE = 2
"""What more it may cost to ask why a pod is ten seconds late: to say so, and to take it back."""
SMALL = {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}}
"""So that none waits for room, which would be told, too."""
SHARED = {f"{verb} {kind}" for verb in ("watch", "list") for kind in ("runs", "jobs", "pods")}
"""What grows with time, and not with the number of runs."""


def run(number: int) -> dict[str, Any]:
    """Describe a run of stages that end at once."""
    return {
        "apiVersion": "qlibshadow.io/v1alpha1",
        "kind": "QlibShadowRun",
        "metadata": {"name": f"cost-{number}", "labels": {"test": "cost"}},
        "spec": {
            "image": binaries.STAGE,
            "stages": {key: {"resources": SMALL} for key in ("download", "qrun")},
        },
    }


def calls(installation: Installation) -> Counter[str]:
    """Read from the operator's metrics what it has asked of the API server."""
    selector = "app.kubernetes.io/component=operator"
    [pod] = json.loads(installation.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
    where = f"/api/v1/namespaces/{installation.namespace}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
    found: Counter[str] = Counter()
    for line in installation.cluster.kubectl("get", f"--raw={where}").splitlines():
        if line.startswith("qlib_shadow_api_requests_total{"):
            name, _, value = line.rpartition(" ")
            labels = dict(pair.split("=") for pair in name.partition("{")[2].rstrip("}").split(","))
            found[f"{labels['verb']} {labels['resource']}".replace('"', "")] += int(float(value))
    return found


@pytest.fixture(scope="module")
def spent(installation: Installation) -> Counter[str]:
    """Let twenty runs begin at once and complete; return the calls that they took."""
    try:
        installation.cluster.load_image(binaries.stage(), binaries.STAGE)
    except UnavailableError as why:
        pytest.skip(str(why))
    before = calls(installation)
    installation.cluster.apply(*map(run, range(RUNS)), namespace=installation.namespace)
    installation.kubectl("wait", "--for=condition=Complete", "qsr", "-l", "test=cost", "--timeout=300s")
    return calls(installation) - before


def test_a_run_costs_few_calls(spent: Counter[str]):
    """Each look writes at most once; what happens at the same time is told together."""
    ours = {name: count for name, count in spent.items() if name not in SHARED}
    total = sum(count for name, count in ours.items() if not name.endswith(" events"))
    assert total <= CALLS * RUNS + TROUBLE * spent["list events"], spent
    assert ours["create jobs"] == 2 * RUNS


def test_a_run_has_one_job_a_stage(installation: Installation, spent: Counter[str]):
    """However many looks were taken at it."""
    del spent
    jobs = installation.cluster.get("jobs", f"--namespace={installation.namespace}")["items"]
    labels = [job["metadata"]["labels"] for job in jobs]
    made = Counter(
        (one["qlibshadow.io/run"], one["qlibshadow.io/stage"])
        for one in labels
        if one.get("qlibshadow.io/run", "").startswith("cost-")
    )
    assert made == {(f"cost-{n}", stage): 1 for n in range(RUNS) for stage in ("download", "qrun")}


def test_runs_take_their_jobs_and_pods_with_them(installation: Installation, spent: Counter[str]):
    """Deleting twenty runs leaves nothing in the namespace."""
    del spent
    installation.kubectl("delete", "qsr", "-l", "test=cost")

    def gone() -> bool:
        found = installation.cluster.get("jobs,pods", f"--namespace={installation.namespace}")
        names = [one["metadata"]["name"] for one in found.get("items", [])]
        return not [name for name in names if name.startswith("cost-")]

    wait_for(gone, PATIENCE, "the Jobs and pods to be gone")
