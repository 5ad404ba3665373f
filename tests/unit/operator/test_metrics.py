"""The metrics: documented, bounded, and correct."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.unit.operator.builders import NOW, a_run
from tests.unit.operator.documents import a_run_document

from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.kube.traffic import Call
from qlib_shadow_operator.loop.cluster_cache import ClusterCache
from qlib_shadow_operator.loop.probes import Health, HealthLimits
from qlib_shadow_operator.runs.model import Status
from qlib_shadow_operator.telemetry.bounded_series import NAMESPACES_MAX, SERIES_MAX
from qlib_shadow_operator.telemetry.metrics import EVENTS, FIGURES, PREFIX, OperatorMetrics
from qlib_shadow_operator.telemetry.scrape import ScrapeCollector, phase_and_reason
from qlib_shadow_operator.telemetry.wiring import Telemetry
from qlib_shadow_runner.contract import Stage

DOCUMENT = Path(__file__).parents[3] / "docs/metrics.md"
COMPLETE = a_run().succeeded(Stage.DOWNLOAD).succeeded(Stage.QRUN).seen().run.status
FAILED = a_run().failed(Stage.DOWNLOAD, 1).seen().run.status
NIGHTLY = ("research", "nightly")
WAITING = a_run().pod(Stage.DOWNLOAD, unschedulable="0/1 nodes are available").seen().run.status


class Operator:
    """The parts that a scrape reads."""

    def __init__(self) -> None:
        health = Health(HealthLimits(1, 1, 1), [("runs", None)])
        self.telemetry = Telemetry(health)
        self.cache = ClusterCache()
        self.figures = ScrapeCollector(self.cache, health, lambda: 7)
        self.telemetry.metrics.add(self.figures)

    def run(self, number: int, status: Status | None = None, **fields: Any) -> dict[str, Any]:
        """Add a run to the cache."""
        meta = {"name": f"run-{number}", "uid": f"uid-{number}"} | fields.pop("metadata", {})
        document = a_run_document(metadata=meta, status=render_status(status or Status()), **fields)
        self.cache.put("runs", document)
        return document

    def sample(self, name: str, **labels: str) -> float | None:
        """Return one value of the registry."""
        return self.telemetry.metrics.registry.get_sample_value(PREFIX + name, labels)


def later(status: Status, **difference: float) -> Status:
    """Return a status with a later completion time."""
    assert status.completion_time
    return replace(status, completion_time=status.completion_time + timedelta(**difference))


def scheduled(name: str) -> dict[str, Any]:
    """Return the metadata of a scheduled run."""
    return {"labels": {"qlibshadow.io/schedule": name}}


def test_every_metric_is_documented():
    """Name, kind, labels and meaning, in the order of the code."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{PREFIX}")]
    wanted = []
    for one in (*FIGURES, *EVENTS):
        labels = ", ".join(f"`{label}`" for label in one.labels)
        wanted.append(f"| `{one.full_name}` | {one.kind} | {labels} | {one.meaning} |")
    assert rows == wanted


def test_registry_has_exactly_the_documented_metrics():
    """Besides the process's own metrics."""
    metrics = OperatorMetrics()
    metrics.add(ScrapeCollector(ClusterCache(), Health(HealthLimits(1, 1, 1), []), lambda: 0))
    text = generate_latest(metrics.registry).decode()
    told = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}
    ours = {name: kind for name, kind in told.items() if not name.startswith("process_")}
    assert ours == {one.full_name: one.kind for one in (*FIGURES, *EVENTS)}


def test_runs_are_counted_by_phase_and_reason():
    """The current ones; deleted runs are not counted."""
    operator = Operator()
    operator.run(0)
    operator.run(1, WAITING)
    operator.run(2, COMPLETE)
    operator.run(3, FAILED)
    gone = operator.run(4, FAILED)
    failure = phase_and_reason(FAILED)[1]
    assert operator.sample("runs", phase="Pending", reason="") == 1
    assert operator.sample("runs", phase="Pending", reason="Unschedulable") == 1
    assert operator.sample("runs", phase="Complete", reason="RunComplete") == 1
    assert operator.sample("runs", phase="Failed", reason=failure) == 2
    operator.cache.drop("runs", gone)
    assert operator.sample("runs", phase="Failed", reason=failure) == 1


def test_number_of_series_does_not_grow_with_runs():
    """No label is a run's name, and an unknown reason becomes Other."""
    operator = Operator()
    for number in range(10_000):
        conditions = tuple(
            replace(one, reason=f"Made{number}") if one.type == "Failed" else one for one in FAILED.conditions
        )
        operator.run(number, replace(FAILED, conditions=conditions))
    assert operator.sample("runs", phase="Failed", reason="Other") == 10_000
    text = generate_latest(operator.telemetry.metrics.registry).decode()
    assert len([line for line in text.splitlines() if line.startswith(f"{PREFIX}runs{{")]) == 1


def test_series_has_its_last_success_and_data_end():
    """The newest complete run counts, in any order of arrival; a failed one does not."""
    operator = Operator()
    operator.run(1, later(COMPLETE, hours=24), metadata=scheduled("nightly"))
    operator.run(2, COMPLETE, metadata=scheduled("nightly"))
    operator.run(3, replace(FAILED, completion_time=NOW + timedelta(days=9)), metadata=scheduled("nightly"))
    where = {"namespace": "research", "series": "nightly"}
    tomorrow = (NOW + timedelta(hours=24)).timestamp()
    assert operator.sample("last_success_timestamp_seconds", **where) == tomorrow
    assert operator.sample("dataset_end_timestamp_seconds", **where) == 1729123200  # 2024-10-17


def test_series_has_its_models_age_and_states():
    """Of the newest complete run; a state of another image is unknown, and an older runner tells nothing."""
    operator = Operator()
    model: dict[str, str | int | float] = {"ageDays": 7, "kept": True, "drift": "drifting", "decay": "x" * 16}
    operator.run(1, replace(later(COMPLETE, hours=24), model=model), metadata=scheduled("nightly"))
    operator.run(2, replace(COMPLETE, model={"ageDays": 6}), metadata=scheduled("nightly"))
    operator.run(3, COMPLETE)
    where = {"namespace": "research", "series": "nightly"}
    assert operator.sample("model_age_days", **where) == 7
    assert operator.sample("model_drift", state="drifting", **where) == 1
    assert operator.sample("model_decay", state="unknown", **where) == 1
    assert operator.sample("model_decay", state="x" * 16, **where) is None
    assert operator.sample("model_age_days", namespace="research", series="default") is None


def test_series_has_its_books_figures():
    """Of the newest complete run; a gate of another image is Other, and without a ledger there is nothing."""
    operator = Operator()
    told: dict[str, str | int | float] = {"decision": "Held", "day": "2024-10-17", "nav": 5.5, "late": False}
    told |= {"closedGates": "drift,magic,more magic", "missed": 2, "drawdown": 0.25, "beyondPromise": True}
    told |= {"tracking": -0.125, "beyondTracking": True}
    operator.run(1, replace(COMPLETE, ledger=told), metadata=scheduled("nightly"))
    operator.run(2, COMPLETE, metadata=scheduled("weekly"))
    behind: dict[str, str | int | float] = {"recorded": "behind", "day": "2024-10-17"}
    operator.run(3, replace(COMPLETE, ledger=behind), metadata=scheduled("monthly"))
    where = {"namespace": "research", "series": "nightly"}
    figures = {"nav": 5.5, "late": 0, "missed_days": 2, "drawdown": 0.25, "beyond_promise": 1}
    figures |= {"tracking": -0.125, "beyond_tracking": 1}
    figures["decided_timestamp_seconds"] = 1729123200
    assert {name: operator.sample(f"ledger_{name}", **where) for name in figures} == figures
    assert operator.sample("ledger_day_pnl", **where) is None
    closed = {gate: operator.sample("ledger_gate_closed", gate=gate, **where) for gate in ("drift", "Other")}
    assert closed == {"drift": 1, "Other": 1}
    for series in ("weekly", "monthly"):
        for name in figures:
            assert operator.sample(f"ledger_{name}", namespace="research", series=series) is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_books_figures_are_those_of_its_newest_day(order: tuple[int, ...]):
    """A later run behind the book does not clear them, nor does one of an old day bring that back."""
    operator = Operator()
    nights: list[dict[str, str | int | float]] = [
        {
            "book": "us",
            "day": "2024-10-16",
            "decision": "Held",
            "closedGates": "drift",
            "late": True,
            "nav": 1,
        },
        {
            "book": "us",
            "day": "2024-10-17",
            "decision": "Held",
            "closedGates": "halt",
            "late": False,
            "nav": 2,
        },
        {"book": "us", "day": "2024-10-15", "recorded": "behind"},
    ]
    nights.append({**nights[0], "recorded": "already"})
    for number in order:
        status = replace(later(COMPLETE, hours=number), ledger=nights[number])
        operator.run(number, status, metadata=scheduled("nightly"))
    where = {"namespace": "research", "series": "nightly"}
    assert (operator.sample("ledger_nav", **where), operator.sample("ledger_late", **where)) == (2, 0)
    closed = {gate: operator.sample("ledger_gate_closed", gate=gate, **where) for gate in ("drift", "halt")}
    assert closed == {"drift": None, "halt": 1}


def test_a_series_tells_of_the_book_in_which_it_decided_last():
    """Another book begins with its own days, which may be earlier ones."""
    operator = Operator()
    for number, (book, day, nav) in enumerate([("new", "2020-01-02", 2.0), ("old", "2024-10-17", 1.0)]):
        ledger: dict[str, str | int | float] = {"book": book, "day": day, "decision": "Decided", "nav": nav}
        operator.run(
            number, replace(later(COMPLETE, hours=-number), ledger=ledger), metadata=scheduled("one")
        )
    assert operator.sample("ledger_nav", namespace="research", series="one") == 2


def test_a_run_without_a_schedule_belongs_to_its_template():
    """Its ConfigMap, its template, or the default."""
    operator = Operator()
    operator.run(1, COMPLETE, spec={"workflow": {"template": "lightgbm-alpha158"}})
    operator.run(2, COMPLETE, spec={"workflow": {"configMapRef": {"name": "mine"}}})
    operator.run(3, COMPLETE)
    for series in ("lightgbm-alpha158", "configmap/mine", "default"):
        assert operator.sample("last_success_timestamp_seconds", namespace="research", series=series)


def test_success_is_kept_after_its_run_is_deleted():
    """A schedule that has stopped stays visible although its runs were deleted."""
    operator = Operator()
    gone = operator.run(1, COMPLETE, metadata=scheduled("nightly"))
    operator.cache.drop("runs", gone)
    operator.figures.keep(gone)
    where = {"namespace": "research", "series": "nightly"}
    assert operator.sample("last_success_timestamp_seconds", **where) == NOW.timestamp()


def test_series_are_limited():
    """The newest ones stay; the number of the others is a metric."""
    operator = Operator()
    for number in range(SERIES_MAX + 3):
        operator.run(number, later(COMPLETE, minutes=number), metadata=scheduled(f"s{number}"))
    assert operator.sample("series_left_out") == 3
    where = {"namespace": "research"}
    assert operator.sample("last_success_timestamp_seconds", series="s2", **where) is None
    assert operator.sample("last_success_timestamp_seconds", series="s3", **where)


def test_stage_duration_is_observed_once():
    """By the times in the status, when the status is written."""
    operator = Operator()
    before = a_run().running(Stage.DOWNLOAD).seen().run.status
    operator.telemetry.changed(NIGHTLY, before, COMPLETE)
    operator.telemetry.changed(NIGHTLY, COMPLETE, COMPLETE)
    for stage in (Stage.DOWNLOAD, Stage.QRUN):
        assert operator.sample("stage_duration_seconds_count", stage=stage, outcome="succeeded") == 1, (
            COMPLETE.stages
        )
    where = {"namespace": "research", "series": "nightly"}
    assert operator.sample("runs_finished_total", **where, phase="Complete", reason="RunComplete") == 1


def test_failed_stage_has_its_own_outcome():
    """And its run is counted under its reason."""
    operator = Operator()
    operator.telemetry.changed(NIGHTLY, a_run().running(Stage.DOWNLOAD).seen().run.status, FAILED)
    assert operator.sample("stage_duration_seconds_count", stage="download", outcome="failed") == 1
    phase, reason = phase_and_reason(FAILED)
    where = {"namespace": "research", "series": "nightly"}
    assert operator.sample("runs_finished_total", **where, phase=phase, reason=reason) == 1


def test_finished_runs_are_counted_under_a_bounded_number_of_series():
    """Then by namespace, then all together; a series that was counted keeps its labels."""
    operator = Operator()
    before = a_run().running(Stage.DOWNLOAD).seen().run.status
    for number in range(SERIES_MAX + 3):
        operator.telemetry.changed(("research", f"s{number}"), before, FAILED)
    for number in range(NAMESPACES_MAX + 3):
        operator.telemetry.changed((f"desk-{number}", "nightly"), before, FAILED)
    operator.telemetry.changed(("research", "s0"), before, FAILED)

    def count(namespace: str, series: str) -> float | None:
        phase, reason = phase_and_reason(FAILED)
        labels = {"namespace": namespace, "series": series, "phase": phase, "reason": reason}
        return operator.sample("runs_finished_total", **labels)

    assert (count("research", "s0"), count("research", "s199"), count("research", "s200")) == (2, 1, None)
    assert (count("research", "Other"), count("desk-0", "Other"), count("Other", "Other")) == (3, 1, 4)


def test_requests_watch_events_passes_and_events_are_counted():
    """Where they happen."""
    telemetry = (operator := Operator()).telemetry
    telemetry.answered(Call("patch", "runs/status", "research"), "409", 0.02)
    telemetry.watch_event("runs", "research", None)
    telemetry.reconciled("conflict", 0.1)
    telemetry.reconciled("done", 0.1)
    telemetry.queue_waited(0.5)
    telemetry.posted("failed")
    assert operator.sample("api_requests_total", verb="patch", resource="runs/status", code="409") == 1
    assert operator.sample("api_request_duration_seconds_sum", verb="patch", resource="runs/status") == 0.02
    assert operator.sample("watch_events_total", kind="runs", type="LISTED") == 1
    assert operator.sample("reconcile_duration_seconds_count", outcome="conflict") == 1
    assert operator.sample("queue_retries_total") == 1
    assert operator.sample("queue_wait_seconds_count") == 1
    assert operator.sample("events_total", outcome="failed") == 1
    assert operator.sample("queue_depth") == 7
    assert operator.sample("watch_contact_timestamp_seconds", kind="runs")
    assert operator.sample("api_contact_timestamp_seconds")
    assert operator.sample("pass_contact_timestamp_seconds")
