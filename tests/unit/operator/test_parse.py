"""Reading raw documents: what matters is found, and what is odd does no harm."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.builders import NOW
from tests.unit.operator.documents import MADE, a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.kube.parse import parse_job, parse_pod, parse_run
from qlib_shadow_runner.contract import Stage


def test_a_run_is_read():
    """What the operator acts on is taken apart; the question passes through."""
    spec = {
        "runId": "mine",
        "dataset": {"source": {"synthetic": {}}},
        "workflow": {"market": "auto"},
        "storage": {"claimName": "c"},
        "stages": {"qrun": {"retries": 0, "resources": {"limits": {"memory": "1Gi"}}}},
        "imagePullSecrets": [{"name": "s"}],
        "suspend": True,
        "ttlSecondsAfterFinished": 0,
    }
    run = parse_run(a_run_document(spec=spec))
    assert run.spec.question == {"dataset": spec["dataset"], "workflow": spec["workflow"]}
    assert (run.spec.run_id, run.spec.claim_name, run.spec.suspend) == ("mine", "c", True)
    assert run.spec.stage(Stage.QRUN).retries == 0
    assert run.spec.stage(Stage.DOWNLOAD).retries is None
    assert run.spec.image_pull_secrets == ("s",)
    assert run.spec.ttl_seconds_after_finished == 0
    assert run.resource_version == "1"


def test_a_job_is_read():
    """Its end is the time of the condition that says so."""
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "lastTransitionTime": MADE,
    }
    job = parse_job(a_job_document(failed=3, conditions=[condition]))
    assert (job.stage, job.is_failed, job.is_complete, job.failed) == (Stage.DOWNLOAD, True, False, 3)
    assert (job.failure_reason, job.ended_at) == ("BackoffLimitExceeded", NOW)


def test_a_pod_that_cannot_be_scheduled_is_read():
    """The scheduler's words."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}
    assert parse_pod(a_pod_document(conditions=[condition])).unschedulable == "full"


def test_a_pod_that_ended_is_read():
    """The runner's words."""
    ended = {"exitCode": 10, "reason": "Error", "message": "{}", "finishedAt": MADE}
    state = {"name": "stage", "imageID": "sha", "state": {"terminated": ended}}
    pod = parse_pod(a_pod_document(phase="Failed", containerStatuses=[{"name": "sidecar"}, state]))
    assert pod.termination is not None
    assert (pod.termination.exit_code, pod.termination.message) == (10, "{}")
    assert (pod.image_id, pod.memory_limit) == ("sha", "2Gi")


ODD: dict[str, dict[str, Any]] = {
    "empty": {},
    "nulls": {"metadata": None, "spec": None, "status": None},
    "strange members": {
        "status": {"conditions": [{"type": "New", "status": "Maybe"}], "stages": [{"name": "x"}]}
    },
    "bad times": {"metadata": {"creationTimestamp": "yesterday"}, "status": {"startTime": 3}},
}


@pytest.mark.parametrize("document", ODD.values(), ids=ODD.keys())
def test_odd_documents_do_no_harm(document: dict[str, Any]):
    """An operator that crashes on one document serves nobody."""
    parse_run(document)
    parse_job(document)
    parse_pod(document)
