"""What a run costs in API calls and Jobs.

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
"""Reads and writes that a run may cost, without Events."""
TROUBLE = 2
"""Calls to query why a pod is late, to report it, and to clear it."""
SMALL = {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}}
"""So small that none waits for room, which would be reported, too."""
SHARED = {f"{verb} {kind}" for verb in ("watch", "list") for kind in ("runs", "jobs", "pods")}
"""Calls that grow with time, not with the number of runs."""


def run(number: int) -> dict[str, Any]:
    """Return a run whose stages end at once."""
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
    """Return the operator's API calls, from its metrics."""
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
    """Let twenty runs start at once and complete; return the calls that they took."""
    try:
        installation.cluster.load_image(binaries.stage(), binaries.STAGE)
    except UnavailableError as why:
        pytest.skip(str(why))
    before = calls(installation)
    installation.cluster.apply(*map(run, range(RUNS)), namespace=installation.namespace)
    installation.kubectl("wait", "--for=condition=Complete", "qsr", "-l", "test=cost", "--timeout=300s")
    return calls(installation) - before


def test_calls_per_run_are_bounded(spent: Counter[str]):
    """Each pass writes at most once; simultaneous changes are written together."""
    ours = {name: count for name, count in spent.items() if name not in SHARED}
    total = sum(count for name, count in ours.items() if not name.endswith(" events"))
    assert total <= CALLS * RUNS + TROUBLE * spent["list events"], spent
    assert ours["create jobs"] == 2 * RUNS


def test_a_run_has_one_job_a_stage(installation: Installation, spent: Counter[str]):
    """However many passes there were."""
    del spent
    jobs = installation.cluster.get("jobs", f"--namespace={installation.namespace}")["items"]
    labels = [job["metadata"]["labels"] for job in jobs]
    made = Counter(
        (one["qlibshadow.io/run"], one["qlibshadow.io/stage"])
        for one in labels
        if one.get("qlibshadow.io/run", "").startswith("cost-")
    )
    assert made == {(f"cost-{n}", stage): 1 for n in range(RUNS) for stage in ("download", "qrun")}


def test_deleted_runs_leave_no_jobs_and_pods(installation: Installation, spent: Counter[str]):
    """Deleting twenty runs leaves nothing in the namespace."""
    del spent
    installation.kubectl("delete", "qsr", "-l", "test=cost")

    def gone() -> bool:
        found = installation.cluster.get("jobs,pods", f"--namespace={installation.namespace}")
        names = [one["metadata"]["name"] for one in found.get("items", [])]
        return not [name for name in names if name.startswith("cost-")]

    wait_for(gone, PATIENCE, "the Jobs and pods to be gone")
