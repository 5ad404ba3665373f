"""The metrics that are computed at each scrape, from the cache, the queue and the health record."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.registry import Collector

from qlib_shadow_operator.loop.cluster_cache import parse_object
from qlib_shadow_operator.runs.model import Run
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_operator.telemetry.bounded_series import OTHER, SERIES_MAX
from qlib_shadow_operator.telemetry.metrics import families
from qlib_shadow_runner.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.core import GaugeMetricFamily

    from qlib_shadow_operator.loop.cluster_cache import CachedObject, ClusterCache, Series
    from qlib_shadow_operator.loop.probes import Health
    from qlib_shadow_operator.runs.model import Job, Pod, Status

UNKNOWN: Final = "unknown"
STATES: Final = {"drift": ("none", "drifting"), "decay": ("holds", "decayed")}
"""The states of a model that a label can have, besides unknown."""
GATES: Final = frozenset(
    {
        *("halt", "dataAge", "golden", "signals", "modelAge", "liveIc", "drift", "coverage", "drawdown"),
        *("dailyLoss", "turnover", "weight", "gross", "names", "participation"),
    }
)
"""The gates of a book that a label can name; any other is Other."""
LEDGER: Final = {
    "nav": "nav",
    "day_pnl": "pnl",
    "drawdown": "drawdown",
    "late": "late",
    "missed_days": "missed",
    "beyond_promise": "beyondPromise",
    "tracking": "tracking",
    "beyond_tracking": "beyondTracking",
}
"""Metric and the field of the status."""
MODEL_TOLD: Final = 28 * 24 * 3600.0
"""Seconds after its last success for which a series' model and book are told, so that their alerts end."""
KNOWN_REASONS: Final = frozenset(map(str, [*Reason, *OperatorReason]))


@dataclass(frozen=True)
class LastSuccess:
    """The newest complete run of a series."""

    at: float
    data_end: float | None
    model: Mapping[str, object]
    """As in its status."""


@dataclass(frozen=True)
class LastDecision:
    """The newest decision of a book that a series has told of, which need not be that of its last run."""

    at: float
    """When the last run that had a decision of this book was complete."""
    order: tuple[float, float]
    """The decision's day, and when the run that told of it was complete."""
    ledger: Mapping[str, object]
    """As in that run's status."""


@dataclass(eq=False)  # the registry needs a hashable collector
class ScrapeCollector(Collector):
    """Computes the metrics of a scrape."""

    cache: ClusterCache
    health: Health
    waiting: Callable[[], int]
    _successes: dict[Series, LastSuccess] = field(default_factory=dict)
    """Kept after the run is deleted, so that a schedule that has stopped is still visible."""
    _decisions: dict[tuple[Series, str], LastDecision] = field(default_factory=dict)
    """By series and book."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics."""
        found = families()
        entries = self.cache.snapshot("runs").values()
        for label, count in Counter(phase_and_reason(status_of(one.value)) for one in entries).items():
            found["runs"].add_metric(label, count)
        with self._lock:
            self._date_series(entries, found)
        self._date_contacts(found)
        found["queue_depth"].add_metric((), self.waiting())
        found["queue_oldest_wait_seconds"].add_metric((), self.health.oldest_wait())
        return found.values()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics' names without values."""
        return families().values()

    def keep(self, raw: Mapping[str, Any]) -> None:
        """Keep the success of a deleted run."""
        entry = parse_object("runs", raw)
        if entry:
            with self._lock:
                self._keep(entry)

    def _keep(self, entry: CachedObject) -> None:
        status = status_of(entry.value)
        if status is None or status.completion_time is None or not status.is_true(ConditionType.COMPLETE):
            return
        series, at = (entry.key.namespace, entry.series), status.completion_time.timestamp()
        known = self._successes.get(series)
        if known is None or known.at < at:
            data_end = _midnight(status.dataset.get("calendarEnd"))
            self._successes[series] = LastSuccess(at, data_end, status.model)
        if "decision" in status.ledger:  # a run behind its book has none
            self._keep_decision(series, at, status.ledger)

    def _keep_decision(self, series: Series, at: float, ledger: Mapping[str, object]) -> None:
        """Keep a decision, unless one of a later day of the same book is known."""
        key = (series, str(ledger.get("book", "")))
        found = LastDecision(at, (_midnight(ledger.get("day")) or 0.0, at), ledger)
        known = self._decisions.get(key, found)
        newest = max(known, found, key=lambda one: one.order)
        self._decisions[key] = replace(newest, at=max(known.at, at))

    def _date_series(self, entries: Iterable[CachedObject], found: dict[str, GaugeMetricFamily]) -> None:
        for entry in entries:
            self._keep(entry)
        newest = sorted(self._successes.items(), key=lambda one: one[1].at)[-SERIES_MAX:]
        found["series_left_out"].add_metric((), len(self._successes) - len(newest))
        self._successes = dict(newest)
        for series, success in newest:
            found["last_success_timestamp_seconds"].add_metric(series, success.at)
            if success.data_end is not None:
                found["dataset_end_timestamp_seconds"].add_metric(series, success.data_end)
            if time.time() - success.at <= MODEL_TOLD:
                _tell_model(series, success.model, found)
        self._tell_decisions(found)

    def _tell_decisions(self, found: dict[str, GaugeMetricFamily]) -> None:
        """Add the figures of the book that each series has decided in last."""
        since = time.time() - MODEL_TOLD
        self._decisions = {
            key: one
            for key, one in sorted(self._decisions.items(), key=lambda of: of[1].at)
            if one.at >= since and key[0] in self._successes
        }
        for series, decision in {key[0]: one for key, one in self._decisions.items()}.items():
            _tell_ledger(series, decision.ledger, found)

    def _date_contacts(self, found: dict[str, GaugeMetricFamily]) -> None:
        now = time.time()
        for kind, age in self.health.watch_ages().items():
            found["watch_contact_timestamp_seconds"].add_metric((kind,), now - age)
        for name, age in self.health.ages().items():
            found[f"{name}_contact_timestamp_seconds"].add_metric((), now - age)


def _tell_model(series: Series, model: Mapping[str, object], found: dict[str, GaugeMetricFamily]) -> None:
    """Add the age and the states of a series' model; a run of an older runner tells nothing of it."""
    if not model:
        return
    if isinstance(age := model.get("ageDays"), int):
        found["model_age_days"].add_metric(series, age)
    for name, states in STATES.items():
        state = model.get(name)
        found[f"model_{name}"].add_metric((*series, str(state) if state in states else UNKNOWN), 1)


def _tell_ledger(series: Series, ledger: Mapping[str, object], found: dict[str, GaugeMetricFamily]) -> None:
    """Add what a decision of a series' book says."""
    for metric, name in LEDGER.items():
        if isinstance(value := ledger.get(name), int | float):
            found[f"ledger_{metric}"].add_metric(series, float(value))
    if (day := _midnight(ledger.get("day"))) is not None:
        found["ledger_decided_timestamp_seconds"].add_metric(series, day)
    closed = {name for name in str(ledger.get("closedGates", "")).split(",") if name}
    for gate in sorted({name if name in GATES else OTHER for name in closed}):
        found["ledger_gate_closed"].add_metric((*series, gate), 1)


def status_of(value: Run | Job | Pod) -> Status | None:
    """Return a run's status."""
    return value.status if isinstance(value, Run) else None


def phase_and_reason(status: Status | None) -> tuple[str, str]:
    """Return a run's phase and reason, from a closed set of values."""
    if status is None or status.phase is None:
        return "Pending", ""
    kind = ConditionType.FAILED if status.is_true(ConditionType.FAILED) else ConditionType.COMPLETE
    found = status.condition(kind)
    return status.phase, known_reason(found.reason if found else "")


def known_reason(reason: str) -> str:
    """Return a reason of this project, or OTHER: foreign images have reasons of their own."""
    return reason if reason in KNOWN_REASONS or not reason else OTHER


def _midnight(day: object) -> float | None:
    try:
        return datetime.strptime(str(day), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
