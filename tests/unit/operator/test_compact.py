"""Compact values: equal parts are shared, and nothing else changes."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from tests.unit.operator.builders import a_run, result
from tests.unit.operator.documents import a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.kube.parse import parse_pod, parse_run
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.loop.cluster_cache import ClusterCache
from qlib_shadow_operator.loop.compact import SHARED_MAX, compact
from qlib_shadow_runner.contract import Stage

RUNS = 100
KILOBYTES_OF_A_RUN = 15
"""With its two Jobs and two Pods, each with a result; about ten when this was written."""
ENDED = "2026-11-21T10:05:00Z"
STATUS = render_status(a_run().succeeded(Stage.DOWNLOAD).succeeded(Stage.QRUN).seen().run.status)
SPEC = {
    "dataset": {"source": {"prices": {"path": "inbox/us_daily.parquet"}}, "maxAgeDays": 3},
    "workflow": {"template": "lightgbm-alpha158", "market": "auto", "benchmark": "auto"},
}


def read(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares nothing, as a watch does."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def finished_run(number: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents of a complete run, its Jobs and its Pods."""
    meta = {"name": f"run-{number}", "uid": f"uid-{number}"}
    found = [("runs", a_run_document(metadata=meta, spec=SPEC, status=STATUS))]
    for stage in Stage:
        end = {
            "exitCode": 0,
            "reason": "Completed",
            "message": result(stage) + " " * 1500,
            "startedAt": ENDED,
            "finishedAt": ENDED,
        }
        seen = [{"name": "stage", "imageID": "sha256:1", "state": {"terminated": end}}]
        complete = [{"type": "Complete", "status": "True", "lastTransitionTime": ENDED}]
        found.append(("jobs", a_job_document(1, stage, succeeded=1, conditions=complete)))
        found.append(("pods", a_pod_document(1, stage, phase="Succeeded", containerStatuses=seen)))
    for _, document in found[1:]:
        document["metadata"]["uid"] += f"-{number}"
        document["metadata"]["labels"] |= {"qlibshadow.io/run": f"run-{number}"}
    return [(kind, read(document)) for kind, document in found]


def test_a_compact_value_is_equal():
    """For a run and a pod with all their fields."""
    for kind, document in finished_run(1):
        parse = {"runs": parse_run, "pods": parse_pod}.get(kind)
        if parse:
            assert compact(parse(document)) == parse(document)


def test_equal_values_are_shared():
    """Texts and keys of two runs; times within one."""
    one, other = (compact(parse_run(finished_run(number)[0][1])) for number in (1, 2))
    assert one.status.conditions[0].message is other.status.conditions[0].message
    assert next(iter(one.status.dataset)) is next(iter(other.status.dataset))
    assert one.status.completion_time is one.status.stages[-1].completion_time


def test_long_texts_are_not_interned():
    """They are hardly ever equal."""
    text = "x" * (SHARED_MAX + 1)
    assert compact(text) is text


def test_memory_per_finished_run_is_bounded():
    """Ten thousand of them fit into the operator's memory limit, with room to work."""
    documents = [one for number in range(RUNS) for one in finished_run(number)]
    cache = ClusterCache()
    tracemalloc.start()
    for kind, document in documents:
        cache.put(kind, read(document))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cache.keys()) == RUNS
    assert taken / RUNS / 1000 < KILOBYTES_OF_A_RUN
