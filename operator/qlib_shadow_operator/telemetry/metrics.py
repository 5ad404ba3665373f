"""All metrics of the operator: one table, from which the registry and docs/metrics.md are made.

Label values are a closed set and never contain a run's name. What the cache shows is counted at each scrape
(FIGURES), so that a deleted run leaves nothing behind.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

from qlib_shadow_runner.contract import ENV_GIT_COMMIT

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

PREFIX: Final = "qlib_shadow_"
KINDS: Final = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}

QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Buckets for what should take milliseconds."""
WAITS: Final = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300)
STAGES: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400)


@dataclass(frozen=True)
class Definition:
    """One metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """Return the name under which it is scraped."""
        return PREFIX + self.name


SERIES: Final = ("namespace", "series")
"""A series of runs: those of a schedule, or else of a workflow template; see docs/metrics.md."""

FIGURES: Final = (
    Definition("runs", "gauge", ("phase", "reason"), "Runs that exist, by phase and reason."),
    Definition(
        "last_success_timestamp_seconds",
        "gauge",
        SERIES,
        "When a run of this series was last complete, in seconds since 1970.",
    ),
    Definition(
        "dataset_end_timestamp_seconds",
        "gauge",
        SERIES,
        "The last day of the data of that run, at midnight UTC, in seconds since 1970.",
    ),
    Definition(
        "model_age_days",
        "gauge",
        SERIES,
        "Trading days since the data ended with which the model of that run was trained.",
    ),
    Definition(
        "model_drift",
        "gauge",
        (*SERIES, "state"),
        "Always 1; whether that run's newest days are far from those before: none, drifting, unknown.",
    ),
    Definition(
        "model_decay",
        "gauge",
        (*SERIES, "state"),
        "Always 1; whether the live IC is what the model has promised: holds, decayed, unknown.",
    ),
    *(
        Definition(f"ledger_{name}", "gauge", SERIES, meaning)
        for name, meaning in (
            ("nav", "Value of the paper account of that run's book, at the close of its day."),
            ("day_pnl", "Profit or loss of the paper account on that day."),
            ("drawdown", "Loss of the paper account since its highest value, as a share of it."),
            ("decided_timestamp_seconds", "The day of the decision, at midnight UTC, in seconds since 1970."),
            ("late", "1 where the decision was recorded too late to be filled, else 0."),
            ("missed_days", "Trading days since the decision before for which none was made."),
            (
                "beyond_promise",
                "1 where the record lies beyond the band that backtests promised, else 0.",
            ),
            (
                "tracking",
                "Return of the paper account less that of the run's backtest over the same days.",
            ),
            ("beyond_tracking", "1 where that difference is more than chance, else 0."),
        )
    ),
    Definition(
        "ledger_gate_closed",
        "gauge",
        (*SERIES, "gate"),
        "Always 1; a gate that let no order of that day pass, or only sales.",
    ),
    Definition("series_left_out", "gauge", (), "Series beyond the 200 newest, not shown."),
    Definition("queue_depth", "gauge", (), "Runs that wait to be reconciled."),
    Definition("queue_oldest_wait_seconds", "gauge", (), "How long the first of them has waited."),
    Definition(
        "watch_contact_timestamp_seconds",
        "gauge",
        ("kind",),
        "When the watch of this kind last heard of the API server, in seconds since 1970; "
        "the oldest one, where there are several namespaces.",
    ),
    Definition(
        "api_contact_timestamp_seconds",
        "gauge",
        (),
        "When the API server last answered anything, in seconds since 1970.",
    ),
    Definition(
        "pass_contact_timestamp_seconds",
        "gauge",
        (),
        "When a reconcile pass or a resync last ended, in seconds since 1970.",
    ),
)
"""Metrics read from the cache, the queue and the health record at each scrape."""

EVENTS: Final = (
    Definition(
        "stage_duration_seconds",
        "histogram",
        ("stage", "outcome"),
        "From a stage's start to its end.",
        STAGES,
    ),
    Definition(
        "runs_finished_total",
        "counter",
        (*SERIES, "phase", "reason"),
        "Runs that this process has seen finish.",
    ),
    Definition(
        "reconcile_duration_seconds",
        "histogram",
        ("outcome",),
        "Reconcile passes: done, conflict (repeated), failed (by the API server), defect (a bug).",
        QUICK,
    ),
    Definition("queue_wait_seconds", "histogram", (), "From enqueueing a run to its reconcile pass.", WAITS),
    Definition("queue_retries_total", "counter", (), "Reconcile passes that were postponed after a failure."),
    Definition(
        "api_requests_total",
        "counter",
        ("verb", "resource", "code"),
        "Requests to the API server; code is unreachable if no answer came.",
    ),
    Definition(
        "api_request_duration_seconds",
        "histogram",
        ("verb", "resource"),
        "From sending a request to the head of its answer.",
        QUICK,
    ),
    Definition("events_total", "counter", ("outcome",), "Events about runs: posted, or failed."),
    Definition(
        "watch_events_total",
        "counter",
        ("kind", "type"),
        "Events from the watches; LISTED are objects of a first list.",
    ),
    Definition(
        "build_info", "gauge", ("version", "commit", "python", "kopf"), "Always 1; the labels say what runs."
    ),
)
"""Metrics counted as events happen."""


class OperatorMetrics:
    """The registry and the event metrics: `metrics["queue_wait_seconds"].observe(1)`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each, which is never read
        self.registry = CollectorRegistry()
        self._made = {one.name: self._make(one) for one in EVENTS}
        ProcessCollector(registry=self.registry)
        self["build_info"].labels(
            version("qlib-shadow-operator"),
            os.environ.get(ENV_GIT_COMMIT) or "unknown",
            platform.python_version(),
            version("kopf"),
        ).set(1)

    def _make(self, one: Definition) -> Any:
        more = {"buckets": one.buckets} if one.buckets else {}
        return KINDS[one.kind](one.full_name, one.meaning, one.labels, registry=self.registry, **more)

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def add(self, collector: Collector) -> None:
        """Add a collector, which is read at each scrape."""
        self.registry.register(collector)


def families() -> dict[str, GaugeMetricFamily]:
    """Return an empty metric family for each of FIGURES."""
    return {one.name: GaugeMetricFamily(one.full_name, one.meaning, labels=one.labels) for one in FIGURES}
