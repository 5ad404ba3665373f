"""Finished runs as an API server stores them: as large as real ones, each with two Jobs and two pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.unit.operator.builders import a_run, result

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.kube.times import write_time
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.jobs import build_job
from qlib_shadow_runner.contract import API_VERSION, KIND, Stage

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Run

NAMESPACE: Final = "research"
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
SPEC: Final = {
    "dataset": {"source": {"prices": {"path": "inbox/us_daily.parquet"}}, "maxAgeDays": 3},
    "workflow": {"template": "lightgbm-alpha158", "market": "auto", "benchmark": "auto"},
}
STATUS: Final = render_status(a_run().succeeded(Stage.DOWNLOAD).succeeded(Stage.QRUN).seen().run.status)
TOLD: Final = 1_500
"""Characters by which a real result is longer than the one of these tests."""


def finished_run(number: int) -> dict[str, Any]:
    """Return a nightly run."""
    meta = metadata(f"nightly-{number:05}", number, "run")
    run = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": SPEC, "status": STATUS}
    return managed(run)


def finished_job(number: int, stage: Stage) -> dict[str, Any]:
    """Return a stage's Job with its final conditions."""
    body = build_job(run_of(number), stage, Defaults())
    ended = moment(number, 9)
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": ended, "lastTransitionTime": ended}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    status = {"succeeded": 1, "ready": 0, "uncountedTerminatedPods": {}, "completionTime": ended}
    body["metadata"] |= metadata(body["metadata"]["name"], number, f"job-{stage}")
    return managed(body | {"status": {**status, "startTime": moment(number, 0), "conditions": conditions}})


def finished_pod(number: int, stage: Stage) -> dict[str, Any]:
    """Return its pod, with the result in its termination message."""
    job = finished_job(number, stage)
    template = job["spec"]["template"]
    meta = metadata(f"{job['metadata']['name']}-x7k2p", number, f"pod-{stage}")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
    meta |= {"labels": template["metadata"]["labels"]}
    meta |= {"ownerReferences": [owner | {"uid": job["metadata"]["uid"]}]}
    told = result(stage).replace("done", f"done in {number} s") + " " * TOLD
    over = {"exitCode": 0, "reason": "Completed", "message": told, "finishedAt": moment(number, 8)}
    seen = {
        "name": "stage",
        "imageID": f"docker.io/library/qlib-runner@sha256:{'c' * 64}",
        "state": {"terminated": {**over, "startedAt": moment(number, 1)}},
    }
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": moment(number, 8)}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    status = {"phase": "Succeeded", "conditions": conditions, "containerStatuses": [seen]}
    return managed({"metadata": meta, "spec": template["spec"], "status": status})


def run_of(number: int) -> Run:
    """Return the run as the operator parses it."""
    return parse_run(finished_run(number))


def metadata(name: str, number: int, kind: str) -> dict[str, Any]:
    """Return the metadata that the API server adds to every object; no two are the same."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"{number:08x}-0000-4000-8000-{hash_of(kind):012x}",
        "resourceVersion": str(number * 10 + 1),
        "generation": 1,
        "creationTimestamp": moment(number, 0),
    }


def hash_of(kind: str) -> int:
    """Return a number that differs by kind."""
    return int.from_bytes(kind.encode()[-6:], "big")


def moment(number: int, minute: int) -> str:
    """Return a minute of a run's night."""
    return str(write_time(FIRST + timedelta(days=number, minutes=minute)))


def managed(document: dict[str, Any]) -> dict[str, Any]:
    """Add managedFields, a third of what an API server sends."""
    parts = {name: document[name] for name in ("spec", "status") if name in document}
    by = [
        {
            "manager": "kubectl",
            "operation": "Update",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields_of({k: v}),
        }
        for k, v in parts.items()
    ]
    return {**document, "metadata": {**document["metadata"], "managedFields": by}}


def fields_of(value: Any) -> dict[str, Any]:
    """Return fields in the form of managedFields."""
    if isinstance(value, dict):
        return {f"f:{name}": fields_of(one) for name, one in value.items()}
    if isinstance(value, list):
        return {f'k:{{"name":"{number}"}}': fields_of(one) for number, one in enumerate(value)}
    return {}
