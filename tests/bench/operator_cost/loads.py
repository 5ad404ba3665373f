"""Runs as users and schedules create them: many at once, or at a steady pace."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from tests.bench.operator_cost.bench_cluster import NAMESPACE

from qlib_shadow_operator.kube.cluster import ClusterError
from qlib_shadow_runner.contract import API_VERSION, KIND, Stage
from testcluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.operator_cost.bench_cluster import Place

LABEL: Final = "bench"
HANDS: Final = 8
PATIENCE: Final = 600
"""Seconds for the first, and one more for each: a slow measurement is better than none."""
SMALL: Final = {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}}
SPEC: Final = {
    "dataset": {"source": {"synthetic": {}}},
    "workflow": {"template": "lightgbm-alpha158"},
    "stages": {stage: {"resources": SMALL} for stage in Stage},
}
"""So small that none waits for room, which would dominate the measurement."""


def run(load: str, number: int) -> dict[str, Any]:
    """Return a run of a load."""
    metadata = {"name": f"{load}-{number:04}", "namespace": NAMESPACE, "labels": {LABEL: load}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": SPEC}


def paced(count: int, rate: float | None, begin: Callable[[int], object]) -> None:
    """Start this many actions, at once or at a rate, with a few threads."""
    started = time.monotonic()
    begun = []
    with ThreadPoolExecutor(HANDS) as hands:
        for number in range(count):
            if rate:
                time.sleep(max(started + number / rate - time.monotonic(), 0))
            begun.append(hands.submit(begin, number))
    for one in begun:
        one.result()


def make(place: Place, load: str, count: int, rate: float | None = None) -> None:
    """Create runs and wait until all are Complete."""
    api = place.api("person", HANDS)
    paced(count, rate, lambda number: api.create_run(NAMESPACE, run(load, number)))
    wait_for(lambda: complete(place, load) == count, PATIENCE + count, f"{count} runs to complete")


def complete(place: Place, load: str) -> int:
    """Return the number of complete runs of a load, from the API server's cache, at most once a second."""
    time.sleep(1)
    selectors = {"label_selector": f"{LABEL}={load}", "field_selector": "status.phase=Complete"}
    try:
        return len(place.api("person").list_runs(NAMESPACE, resource_version="0", **selectors))
    except ClusterError:
        return 0
