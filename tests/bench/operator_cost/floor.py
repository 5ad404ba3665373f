"""The floor: two Jobs in a row, created by the smallest program that can do it.

The Jobs are the operator's own, so that a node has the same work, but without owner.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from tests.bench.operator_cost.bench_cluster import CLAIM, NAMESPACE
from tests.bench.operator_cost.loads import HANDS, PATIENCE, SPEC, paced

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.jobs import build_job
from qlib_shadow_operator.runs.names import LABEL_MANAGED_BY, LABEL_RUN, LABEL_STAGE
from qlib_shadow_runner.contract import Stage
from testcluster import binaries
from testcluster.errors import TestClusterError
from testcluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.operator_cost.bench_cluster import Place

    from qlib_shadow_operator.runs.model import Run

JOBS = {"group": "batch", "version": "v1", "namespace": NAMESPACE, "plural": "jobs"}
OF_THE_FLOOR = "bench=floor"


def job(run: Run, stage: Stage, resolved: str) -> dict[str, Any]:
    """Return a stage's Job as the operator builds it, without owner and manager."""
    body = build_job(run, stage, Defaults(image=binaries.STAGE, claim_name=CLAIM), resolved)
    del body["metadata"]["ownerReferences"]
    labels = {name: text for name, text in body["metadata"]["labels"].items() if name != LABEL_MANAGED_BY}
    for metadata in (body["metadata"], body["spec"]["template"]["metadata"]):
        metadata["labels"] = labels | {"bench": "floor"}
    return body


@dataclass
class Floor:
    """Pairs of Jobs in progress."""

    place: Place
    resolved: str
    pairs: dict[str, Run] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect as a user who may create Jobs."""
        self.jobs = self.place.api("floor", 2 * HANDS).objects
        self.batch = client.BatchV1Api(self.jobs.api_client)
        self.hands = ThreadPoolExecutor(HANDS)

    def measure(self, count: int, rate: float | None) -> dict[str, float | list[float]]:
        """Run this many pairs; return how long all took and each."""
        done = threading.Thread(target=self._watch, args=(count, self._begin_watch()), daemon=True)
        done.start()
        cpu = time.process_time()
        paced(count, rate, self._first)
        done.join(PATIENCE + count)
        if len(self.ended) < count:
            raise TestClusterError(f"only {len(self.ended)} of {count} pairs of Jobs ended")
        return {
            "makespan": max(self.ended.values()) - min(self.began.values()),
            "each": sorted(self.ended[name] - began for name, began in self.began.items()),
            "cpu": time.process_time() - cpu,
        }

    def _first(self, number: int) -> None:
        name = f"floor-{number:04}"
        metadata = {"name": name, "namespace": NAMESPACE, "uid": str(uuid4())}
        self.pairs[name] = parse_run({"metadata": metadata, "spec": SPEC})
        self.began[name] = time.time()
        self._create(name, Stage.DOWNLOAD)

    def _create(self, name: str, stage: Stage) -> None:
        self.jobs.create_namespaced_custom_object(**JOBS, body=job(self.pairs[name], stage, self.resolved))

    def _begin_watch(self) -> Any:
        options = {"label_selector": OF_THE_FLOOR, "watch": True, "_preload_content": False}
        return self.jobs.list_namespaced_custom_object(**JOBS, **options)

    def _watch(self, count: int, answer: Any) -> None:
        seen: set[str] = set()
        for event in events(answer):
            meta, status = event["metadata"], event.get("status", {})
            true = {one["type"] for one in status.get("conditions", []) if one["status"] == "True"}
            if "Complete" not in true or meta["uid"] in seen:
                continue
            seen.add(meta["uid"])
            name = meta["labels"][LABEL_RUN]
            if meta["labels"][LABEL_STAGE] == Stage.DOWNLOAD:
                self.hands.submit(self._create, name, Stage.QRUN)
            else:
                self.ended[name] = time.time()
            if len(self.ended) == count:
                return

    def cleared(self) -> bool:
        """Delete all Jobs and their pods; a busy API server stops half-way, and is asked again."""
        left = self.jobs.list_namespaced_custom_object(**JOBS, label_selector=OF_THE_FLOOR, limit=1)["items"]
        if left:
            with suppress(ApiException):
                self.batch.delete_collection_namespaced_job(
                    NAMESPACE, label_selector=OF_THE_FLOOR, propagation_policy="Background"
                )
        return not left


def events(answer: Any) -> Iterator[dict[str, Any]]:
    """Yield a watch's events, line by line."""
    rest = b""
    for piece in answer.stream(None):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)["object"]


def floor(place: Place, count: int, rate: float | None, resolved: str) -> dict[str, Any]:
    """Measure once, and delete the Jobs."""
    under_way = Floor(place, resolved)
    try:
        return under_way.measure(count, rate)
    finally:
        # Jobs that are left would disturb the next measurement.
        wait_for(under_way.cleared, 600, "the Jobs of the floor to be gone")
        pods = ("pods", f"--selector={OF_THE_FLOOR}", f"--namespace={NAMESPACE}")
        place.cluster.kubectl("wait", "--for=delete", *pods, "--timeout=600s")
