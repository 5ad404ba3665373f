"""Parsing raw documents: the needed fields are found, and malformed documents raise no error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.builders import NOW, UID
from tests.unit.operator.documents import MADE, a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.kube.parse import parse_job, parse_pod, parse_run, parse_warning_event
from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_operator.runs.queries import WarningEvent
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec import RunFields
from qlib_shadow_runner.contract.spec.jobs import ImagePullSecret
from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef


def test_run_is_parsed():
    """The operator's fields are parsed; the question is passed on."""
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
    assert run.question == {"dataset": spec["dataset"], "workflow": spec["workflow"]}
    assert (run.spec.run_id, run.spec.storage.claim_name, run.spec.suspend) == ("mine", "c", True)
    assert run.spec.stages.of(Stage.QRUN).retries == 0
    assert run.spec.stages.of(Stage.DOWNLOAD).retries is None
    assert run.spec.image_pull_secrets == (ImagePullSecret("s"),)
    assert run.spec.ttl_seconds_after_finished == 0
    assert run.resource_version == "1"


def test_job_is_parsed():
    """It ended at the transition time of its condition."""
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "lastTransitionTime": MADE,
    }
    job = parse_job(a_job_document(failed=3, conditions=[condition]))
    assert (job.stage, job.is_failed, job.is_complete, job.failed) == (Stage.DOWNLOAD, True, False, 3)
    assert (job.failure_reason, job.ended_at) == ("BackoffLimitExceeded", NOW)


def test_unschedulable_pod_is_parsed():
    """With the scheduler's message."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}
    assert parse_pod(a_pod_document(conditions=[condition])).unschedulable == "full"


def test_ended_pod_is_parsed():
    """With the runner's message."""
    ended = {"exitCode": 10, "reason": "Error", "message": "{}", "finishedAt": MADE}
    state = {"name": "stage", "imageID": "sha", "state": {"terminated": ended}}
    pod = parse_pod(a_pod_document(phase="Failed", containerStatuses=[{"name": "sidecar"}, state]))
    assert pod.termination is not None
    assert (pod.termination.exit_code, pod.termination.message) == (10, "{}")
    assert (pod.image_id, pod.memory_limit) == ("sha", "2Gi")


def test_own_template_and_queue_are_parsed():
    """The key's default is that of the CRD."""
    spec = {"workflow": {"configMapRef": {"name": "mine"}}, "queueName": "nightly"}
    found = parse_run(a_run_document(spec=spec))
    assert found.spec.workflow.config_map == ConfigMapRef("mine", "workflow.yaml")
    assert found.spec.queue_name == "nightly"
    assert found.question == {"workflow": spec["workflow"]}
    with_key = {"workflow": {"configMapRef": {"name": "mine", "key": "a.yaml"}}}
    again = parse_run(a_run_document(spec=with_key)).spec.workflow
    assert again.config_map == ConfigMapRef("mine", "a.yaml")


def test_recovery_job_is_distinguished_from_the_stage_job():
    """By its label."""
    document = a_job_document()
    assert parse_job(document).purpose is None
    document["metadata"]["labels"] = child_labels("demo", UID, Stage.DOWNLOAD, "report")
    assert (parse_job(document).stage, parse_job(document).purpose) == (Stage.DOWNLOAD, "report")


@pytest.mark.parametrize(
    ("condition", "disruption"),
    [
        (
            {"status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"},
            "EvictionByEvictionAPI: evicting",
        ),
        ({"status": "True"}, "disrupted"),
        ({"status": "False", "reason": "EvictionByEvictionAPI"}, ""),
    ],
)
def test_disruption_is_parsed(condition: dict[str, str], disruption: str):
    """Who disrupted the pod, and why."""
    pod = a_pod_document(conditions=[{"type": "DisruptionTarget", **condition}])
    assert parse_pod(pod).disruption == disruption


LATER = "2026-11-21T10:00:05Z"


@pytest.mark.parametrize(
    "times",
    [
        {"deprecatedLastTimestamp": LATER, "deprecatedFirstTimestamp": MADE},
        {"series": {"count": 2, "lastObservedTime": LATER}, "eventTime": MADE},
        {"eventTime": LATER, "deprecatedLastTimestamp": None},
        {"metadata": {"creationTimestamp": LATER}},
    ],
)
def test_event_of_any_recorder_is_parsed(times: dict[str, Any]):
    """Each recorder keeps the last time in another field."""
    found = parse_warning_event({"reason": "FailedCreate", "note": "no", **times})
    assert found == WarningEvent("FailedCreate", "no", NOW + timedelta(seconds=5))


ODD: dict[str, dict[str, Any]] = {
    "empty": {},
    "nulls": {"metadata": None, "spec": None, "status": None},
    "strange members": {
        "status": {"conditions": [{"type": "New", "status": "Maybe"}], "stages": [{"name": "x"}]}
    },
    "a spec of other types": {
        "spec": {
            "stages": [1],
            "storage": {"claimName": ["c"]},
            "imagePullSecrets": [{}, "s", None],
            "workflow": {"configMapRef": {"key": "k"}, "market": 3},
            "dataset": {"source": {"archive": "us.zip"}},
            "runId": 7,
        }
    },
    "bad times": {"metadata": {"creationTimestamp": "yesterday"}, "status": {"startTime": 3}},
}


@pytest.mark.parametrize("document", ODD.values(), ids=ODD.keys())
def test_malformed_documents_raise_no_error(document: dict[str, Any]):
    """The operator must not crash on one document."""
    parse_run(document)
    parse_job(document)
    parse_pod(document)
    parse_warning_event(document)


def test_what_is_odd_in_a_spec_is_as_if_left_out():
    """The runner refuses what is its own; the API server should have refused the rest."""
    found = parse_run(ODD["a spec of other types"]).spec
    assert found == RunFields(image_pull_secrets=())


def test_the_secret_of_an_archive_is_read():
    """With the address that it is sent to: the two fields inside the source that the operator reads."""
    source = {"archive": {"url": "https://data.example/us.zip", "credentialsSecret": "archive"}}
    run = parse_run(a_run_document(spec={"dataset": {"source": source}}))
    assert (run.credentials_secret, run.archive_url) == ("archive", "https://data.example/us.zip")
    assert run.spec.dataset.path == RunFields().dataset.path
