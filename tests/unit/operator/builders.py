"""Builds runs and what exists for them, for readable tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.kube.parse import parse_status
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.runs.decide import decide
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.model import Document, Figures, Job, Observed, Pod, Rejection, Run, Termination
from qlib_shadow_operator.runs.names import PURPOSE_RECOVERY
from qlib_shadow_operator.runs.queries import FindJob, FindPods
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec import RunFields

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.decisions import Decision
    from qlib_shadow_operator.runs.queries import Query

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
UID = "a1b2c3d4-0000-4000-8000-000000000000"
DATASET: Figures = {
    "path": "/data/qlib/qlib_data/us_data_1d",
    "resolvedPath": "/data/qlib/qlib_data/us_data_1d@3f9c",
    "calendarStart": "2019-01-02",
    "calendarEnd": "2024-10-17",
    "instruments": 60,
}
METRICS: Figures = {"ic": 0.04123, "rankIc": 0.0441, "annualizedReturn": 0.0891, "maxDrawdown": -0.1123}


def result(stage: Stage, reason: str = "Succeeded", message: str = "done", **more: Any) -> str:
    """Return a result as the runner writes it."""
    content: dict[str, Any] = {
        "stage": stage,
        "uid": UID,
        "reason": reason,
        "message": message,
        "dataset": DATASET,
    }
    if stage is Stage.QRUN:
        content |= {"metrics": METRICS, "configHash": "c0ffee"}
    return json.dumps(content | more)


@dataclass(frozen=True)
class Scene:
    """A run and what exists for it."""

    run: Run
    observed: Observed = field(default_factory=Observed)
    defaults: Defaults = field(default_factory=Defaults)

    def spec(self, **fields: Any) -> Scene:
        """Change the spec, as a user does."""
        run = replace(self.run, spec=replace(self.run.spec, **fields), generation=self.run.generation + 1)
        return replace(self, run=run)

    def named(self, name: str) -> Scene:
        """Rename the run."""
        return replace(self, run=replace(self.run, name=name))

    def deleted(self) -> Scene:
        """Mark the run as being deleted."""
        return replace(self, run=replace(self.run, deleting=True))

    def job(self, stage: Stage, **fields: Any) -> Scene:
        """Add or change a stage's Job."""
        known = self.observed.jobs.get(stage) or Job(
            name=self.run.job_name(stage),
            uid=f"job-{stage}",
            owner_uid=UID,
            created_at=NOW,
            started_at=NOW,
            stage=stage,
        )
        jobs = {**self.observed.jobs, stage: replace(known, **fields)}
        return replace(self, observed=replace(self.observed, jobs=jobs))

    def without_job(self, stage: Stage) -> Scene:
        """Remove a stage's Job and its pods."""
        jobs = {s: job for s, job in self.observed.jobs.items() if s is not stage}
        pods = {s: found for s, found in self.observed.pods.items() if s is not stage}
        return replace(self, observed=replace(self.observed, jobs=jobs, pods=pods))

    def without_pods(self, stage: Stage) -> Scene:
        """Remove a stage's pods, but not its Job."""
        pods = {s: found for s, found in self.observed.pods.items() if s is not stage}
        return replace(self, observed=replace(self.observed, pods=pods))

    def pod(self, stage: Stage, name: str = "pod-1", **fields: Any) -> Scene:
        """Add or change a pod of a stage."""
        scene = self if stage in self.observed.jobs else self.job(stage, active=1)
        others = tuple(pod for pod in scene.observed.pods.get(stage, ()) if pod.name != name)
        fresh = Pod(
            name=name, uid=name, created_at=NOW + timedelta(seconds=len(others)), stage=stage, image="image"
        )
        pods = {**scene.observed.pods, stage: (*others, replace(fresh, **fields))}
        return replace(scene, observed=replace(scene.observed, pods=pods))

    def made_at_once(self, stage: Stage) -> Scene:
        """Give all pods of a stage the same creation time."""
        pods = tuple(replace(pod, created_at=NOW) for pod in self.observed.pods[stage])
        return replace(self, observed=replace(self.observed, pods={**self.observed.pods, stage: pods}))

    def without_pod(self, stage: Stage, name: str) -> Scene:
        """Remove a pod."""
        kept = tuple(pod for pod in self.observed.pods[stage] if pod.name != name)
        pods = {**self.observed.pods, stage: kept}
        return replace(self, observed=replace(self.observed, pods=pods))

    def pod_is(self, stage: Stage, **fields: Any) -> Scene:
        """Change all pods of a stage."""
        changed = tuple(replace(pod, **fields) for pod in self.observed.pods[stage])
        pods = {**self.observed.pods, stage: changed}
        return replace(self, observed=replace(self.observed, pods=pods))

    def running(self, stage: Stage, name: str = "pod-1") -> Scene:
        """Add a running pod of a stage."""
        return self.pod(stage, name, phase="Running", running_since=NOW)

    def succeeded(self, stage: Stage, message: str | None = None) -> Scene:
        """Add a complete Job of a stage, with its pod and result."""
        end = Termination(0, "Completed", result(stage) if message is None else message, finished_at=NOW)
        scene = self.job(stage, is_complete=True, active=0, succeeded=1, ended_at=NOW)
        return scene.pod(stage, phase="Succeeded", termination=end, image_id="sha256:1")

    def attempt_failed(
        self, stage: Stage, code: int, message: str = "", *, kill: str = "Error", name: str = "pod-1"
    ) -> Scene:
        """Add a failed pod; the Job continues."""
        end = Termination(code, kill, message, finished_at=NOW)
        return self.pod(stage, name, phase="Failed", termination=end, memory_limit="2Gi")

    def failed(self, stage: Stage, code: int, message: str = "", *, kill: str = "Error") -> Scene:
        """Add a failed Job of a stage with its failed pod."""
        scene = self.attempt_failed(stage, code, message, kill=kill)
        return scene.job_failed(stage, "BackoffLimitExceeded")

    def job_failed(self, stage: Stage, reason: str) -> Scene:
        """Mark a stage's Job as failed."""
        return self.job(stage, is_failed=True, active=0, failed=1, failure_reason=reason, ended_at=NOW)

    def rejected(
        self,
        stage: Stage,
        message: str,
        *,
        permanent: bool = False,
        name_taken: bool = False,
        server_failed: bool = False,
        of_a_change: bool = False,
    ) -> Scene:
        """Add a refusal of the stage's Job by the API server, or its failure."""
        rejections = {stage: Rejection(message, permanent, name_taken, server_failed, of_a_change)}
        return replace(self, observed=replace(self.observed, rejections=rejections))

    def replaced(self, stage: Stage) -> Scene:
        """Replace a stage's Job by another one of the same name."""
        scene = self.without_job(stage)
        return scene.job(stage, uid=f"another-job-{stage}", active=1)

    def report(self, stage: Stage, **fields: Any) -> Scene:
        """Add or change the recovery Job of a stage."""
        known = self.observed.recovery_jobs.get(stage) or Job(
            name=self.run.job_name(stage, PURPOSE_RECOVERY),
            uid=f"report-{stage}",
            owner_uid=UID,
            created_at=NOW,
            stage=stage,
            purpose=PURPOSE_RECOVERY,
        )
        recovery_jobs = {**self.observed.recovery_jobs, stage: replace(known, **fields)}
        return replace(self, observed=replace(self.observed, recovery_jobs=recovery_jobs))

    def told(self, stage: Stage, code: int, message: str, **fields: Any) -> Scene:
        """Add an ended pod of the recovery Job."""
        end = Termination(code, "Completed", message, finished_at=NOW)
        pod = Pod(name="r", uid="r", created_at=NOW, stage=stage, termination=end, **fields)
        pods = {**self.observed.recovery_pods, stage: (pod,)}
        return replace(self, observed=replace(self.observed, recovery_pods=pods))

    def untold(self, stage: Stage) -> Scene:
        """Add a recovery pod that runs on a lost node."""
        pod = Pod(name="r", uid="r", created_at=NOW, stage=stage, running_since=NOW, ends_by=NOW)
        pods = {**self.observed.recovery_pods, stage: (pod,)}
        return replace(self, observed=replace(self.observed, recovery_pods=pods))

    def answered(self, question: Query, answer: Any) -> Scene:
        """Add an answer to a query."""
        answers = {**self.observed.answers, question: answer}
        return replace(self, observed=replace(self.observed, answers=answers))

    def decide(self, *, minutes: float = 0) -> Decision:
        """Return the decision some minutes after NOW; the API server has no other objects than the cache."""
        asked: dict[Query, Any] = {
            FindPods(stage, purpose): True for stage in Stage for purpose in (None, PURPOSE_RECOVERY)
        }
        asked |= {FindJob(self.run.job_name(stage)): False for stage in Stage}
        observed = replace(self.observed, answers={**asked, **self.observed.answers})
        return decide(self.run, observed, self.defaults, NOW + timedelta(minutes=minutes))

    def seen(self, *, minutes: float = 0) -> Scene:
        """Apply the status of the decision, as the API server stores it."""
        status = parse_status(render_status(self.decide(minutes=minutes).status))
        return replace(self, run=replace(self.run, status=status))


def a_run(name: str = "demo", question: Document | None = None, **spec: Any) -> Scene:
    """Return a run that was never reconciled."""
    fields = RunFields(**spec)
    return Scene(Run(name, "research", UID, "1", generation=1, question=question or {}, spec=fields))
