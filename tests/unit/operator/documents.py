"""Raw documents, as the API server returns them."""

from __future__ import annotations

from typing import Any

from tests.unit.operator.builders import UID

from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_runner.contract import Stage

MADE = "2026-11-21T10:00:00Z"


def a_run_document(version: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a run."""
    meta = {
        "name": "demo",
        "namespace": "research",
        "uid": UID,
        "resourceVersion": str(version),
        "generation": 1,
    }
    return {"metadata": meta | fields.pop("metadata", {}), "spec": {}} | fields


def a_job_document(version: int = 2, stage: Stage = Stage.DOWNLOAD, **status: Any) -> dict[str, Any]:
    """Return a stage's Job."""
    return {
        "metadata": {
            "name": f"demo-a1b2c3d4-{stage}",
            "namespace": "research",
            "uid": f"job-{stage}",
            "resourceVersion": str(version),
            "creationTimestamp": MADE,
            "labels": child_labels("demo", UID, stage),
            "ownerReferences": [{"uid": UID, "controller": True}],
        },
        "spec": {},
        "status": status,
    }


def a_pod_document(version: int = 3, stage: Stage = Stage.DOWNLOAD, **status: Any) -> dict[str, Any]:
    """Return a stage's Pod."""
    return {
        "metadata": {
            "name": "pod-1",
            "namespace": "research",
            "uid": f"pod-{stage}",
            "resourceVersion": str(version),
            "creationTimestamp": MADE,
            "labels": child_labels("demo", UID, stage),
            "ownerReferences": [{"uid": f"job-{stage}", "controller": True}],
        },
        "spec": {"containers": [{"name": "stage", "image": "i", "resources": {"limits": {"memory": "2Gi"}}}]},
        "status": status,
    }
