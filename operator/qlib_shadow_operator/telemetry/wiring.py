"""Who is told what happens: the metrics, and the operator's health. Called by the loop and by threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.telemetry.figures import phase_and_reason
from qlib_shadow_operator.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from qlib_shadow_operator.kube.traffic import Call
    from qlib_shadow_operator.loop.health import Health
    from qlib_shadow_operator.runs.model import StageStatus, Status

LISTED = "LISTED"
"""Stands for what a list told, which has no type."""


@dataclass(frozen=True)
class Telemetry:
    """Tells both."""

    health: Health
    metrics: Metrics = field(default_factory=Metrics)

    def answered(self, call: Call, code: str, seconds: float) -> None:
        """Tell of a request to the API server."""
        self.metrics["api_requests_total"].labels(call.verb, call.resource, code).inc()
        self.metrics["api_request_duration_seconds"].labels(call.verb, call.resource).observe(seconds)
        self.health.answered(call, code)

    def noticed(self, kind: str, namespace: str | None, type_: str | None) -> None:
        """Tell of news from a watch."""
        self.metrics["watch_events_total"].labels(kind, type_ or LISTED).inc()
        self.health.heard(kind, namespace)

    def waited(self, seconds: float) -> None:
        """Tell how long a run has waited for a look."""
        self.metrics["queue_wait_seconds"].observe(seconds)

    def looked(self, outcome: str, seconds: float) -> None:
        """Tell of a look that came to its end."""
        self.metrics["reconcile_duration_seconds"].labels(outcome).observe(seconds)
        if outcome != "done":
            self.metrics["queue_retries_total"].inc()
        self.health.passed()

    def posted(self, outcome: str) -> None:
        """Tell of an Event."""
        self.metrics["events_total"].labels(outcome).inc()

    def changed(self, old: Status, new: Status) -> None:
        """Tell of a status that has landed."""
        for stage in new.stages:
            if stage.finished and not old.stage(stage.name).finished:
                self._stage_ended(stage)
        if new.finished and not old.finished:
            self.metrics["runs_finished_total"].labels(*phase_and_reason(new)).inc()

    def _stage_ended(self, stage: StageStatus) -> None:
        if stage.start_time is None or stage.completion_time is None:
            return
        seconds = (stage.completion_time - stage.start_time).total_seconds()
        outcome = "succeeded" if stage.state is StageState.SUCCEEDED else "failed"
        self.metrics["stage_duration_seconds"].labels(str(stage.name), outcome).observe(seconds)
