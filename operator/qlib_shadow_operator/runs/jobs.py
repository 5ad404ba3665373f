"""Build a stage's Job as a plain document. The pod's spec is in podspec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_operator.runs import podspec
from qlib_shadow_operator.runs.names import CONTAINER, LABEL_QUEUE, PURPOSE_RECOVERY, child_labels
from qlib_shadow_operator.runs.pods import settings_of
from qlib_shadow_runner.contract import API_VERSION, KIND, USER_ERRORS, ExitCode, Request

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Document, Run
    from qlib_shadow_runner.contract import Stage

POD_FAILURE_POLICY: Final[Document] = {
    "rules": [
        # First: a disruption is not the run's fault, whatever the exit code.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        # Nor is a deleted pod; the stage's deadline limits the repetitions. A pod that outgrew its own
        # storage may end with this code, too, and looks the same here: storage_is_outgrown_again counts it.
        {
            "action": "Ignore",
            "onExitCodes": {
                "containerName": CONTAINER,
                "operator": "In",
                "values": [int(ExitCode.INTERRUPTED)],
            },
        },
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": CONTAINER,
                "operator": "In",
                "values": sorted(int(code) for code in USER_ERRORS),
            },
        },
    ]
}
"""Other failures count against backoffLimit and are retried."""


RECOVERY_DEADLINE_SECONDS: Final = 600
"""For reading one small file, on a node that may have to pull the image first."""


def build_job(
    run: Run,
    stage: Stage,
    defaults: Defaults,
    resolved_dataset: str | None = None,
    *,
    has_books: bool = False,
) -> dict[str, Any]:
    """Return the Job of a stage; the dataset is known once the download stage has resolved it."""
    return _job(
        run,
        stage,
        defaults,
        None,
        podspec.build(run, stage, defaults, request(run), resolved_dataset, has_books=has_books),
        backoffLimit=retries(run, stage, defaults),
        activeDeadlineSeconds=podspec.active_deadline_seconds(run, stage, defaults),
        podReplacementPolicy="Failed",
        podFailurePolicy=POD_FAILURE_POLICY,
    )


def build_recovery_job(run: Run, stage: Stage, defaults: Defaults) -> dict[str, Any]:
    """Return the recovery Job, which only reads how a stage ended from the run folder."""
    return _job(
        run,
        stage,
        defaults,
        PURPOSE_RECOVERY,
        podspec.build_recovery_pod(run, stage, defaults, request(run)),
        backoffLimit=1,
        activeDeadlineSeconds=RECOVERY_DEADLINE_SECONDS,
        podReplacementPolicy="Failed",
        podFailurePolicy=POD_FAILURE_POLICY,
    )


def labels_of(run: Run, stage: Stage, defaults: Defaults, purpose: str | None = None) -> dict[str, str]:
    """Return the labels of a stage's Job and pods; the operator's own cannot be replaced."""
    return {
        **settings_of(run, stage, defaults.pods).labels,
        **child_labels(run.name, run.uid, stage, purpose),
    }


def _job(
    run: Run, stage: Stage, defaults: Defaults, purpose: str | None, pod: dict[str, Any], **spec: Any
) -> dict[str, Any]:
    labels = labels_of(run, stage, defaults, purpose)
    annotations = dict(settings_of(run, stage, defaults.pods).annotations)
    marks = {"annotations": annotations} if annotations else {}
    queue = run.spec.queue_name
    # Kueue resumes the Job when there is room; created otherwise, its pod would start at once.
    queued = {"suspend": True} if queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.job_name(stage, purpose),
            "namespace": run.namespace,
            "labels": labels | ({LABEL_QUEUE: queue} if queue else {}),
            **marks,
            "ownerReferences": [owner_reference(run)],
        },
        "spec": {
            **queued,
            "completions": 1,
            "parallelism": 1,
            **spec,
            "template": {"metadata": {"labels": labels, **marks}, "spec": pod},
        },
    }


def owner_reference(run: Run) -> dict[str, Any]:
    """Return the reference that deletes the Job with its run; no finalizer is involved."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        # True would require the right to update finalizers of runs.
        "blockOwnerDeletion": False,
    }


def request(run: Run) -> str:
    """Return the request: everything that the runner may know of the run."""
    question: dict[str, object] = {**run.question, "runId": run.run_id}
    content = Request(name=run.name, namespace=run.namespace, uid=run.uid, runId=run.run_id, spec=question)
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def retries(run: Run, stage: Stage, defaults: Defaults) -> int:
    """Return how often a stage is retried."""
    asked = run.spec.stages.of(stage).retries
    return defaults.stage(stage).retries if asked is None else asked
