"""Passes what happens to the metrics and the health record. Called by the event loop and by threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.telemetry.bounded_series import BoundedSeries
from qlib_shadow_operator.telemetry.metrics import OperatorMetrics
from qlib_shadow_operator.telemetry.scrape import phase_and_reason

if TYPE_CHECKING:
    from qlib_shadow_operator.kube.traffic import Call
    from qlib_shadow_operator.loop.cluster_cache import Series
    from qlib_shadow_operator.loop.probes import Health
    from qlib_shadow_operator.runs.model import StageStatus, Status

LISTED = "LISTED"
"""The type label of objects from a list, which have no event type."""


@dataclass(frozen=True)
class Telemetry:
    """Informs the metrics and the health record."""

    health: Health
    metrics: OperatorMetrics = field(default_factory=OperatorMetrics)
    bounded: BoundedSeries = field(default_factory=BoundedSeries)

    def answered(self, call: Call, code: str, seconds: float) -> None:
        """Record a request to the API server."""
        self.metrics["api_requests_total"].labels(call.verb, call.resource, code).inc()
        self.metrics["api_request_duration_seconds"].labels(call.verb, call.resource).observe(seconds)
        self.health.answered(call, code)

    def watch_event(self, kind: str, namespace: str | None, type_: str | None) -> None:
        """Record an event from a watch."""
        self.metrics["watch_events_total"].labels(kind, type_ or LISTED).inc()
        self.health.watch_delivered(kind, namespace)

    def queue_waited(self, seconds: float) -> None:
        """Record how long a run waited in the queue."""
        self.metrics["queue_wait_seconds"].observe(seconds)

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Record the end of a reconcile pass."""
        self.metrics["reconcile_duration_seconds"].labels(outcome).observe(seconds)
        if outcome != "done":
            self.metrics["queue_retries_total"].inc()
        self.health.reconcile_ended()

    def posted(self, outcome: str) -> None:
        """Record an Event's outcome."""
        self.metrics["events_total"].labels(outcome).inc()

    def changed(self, series: Series, old: Status, new: Status) -> None:
        """Record a status update of a run of the series."""
        for stage in new.stages:
            if stage.finished and not old.stage(stage.name).finished:
                self._stage_ended(stage)
        if new.finished and not old.finished:
            self.metrics["runs_finished_total"].labels(
                *self.bounded.labels(series), *phase_and_reason(new)
            ).inc()

    def _stage_ended(self, stage: StageStatus) -> None:
        if stage.start_time is None or stage.completion_time is None:
            return
        seconds = (stage.completion_time - stage.start_time).total_seconds()
        outcome = "succeeded" if stage.state is StageState.SUCCEEDED else "failed"
        self.metrics["stage_duration_seconds"].labels(str(stage.name), outcome).observe(seconds)
