"""The answers to the liveness and readiness probes, from the operator's progress.

A restart helps against a task that died, an event loop that hangs, and a watch that receives nothing while
the API server answers other requests. It does not help when the API server answers nothing: then the operator
is alive but not ready.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qlib_shadow_operator.kube.traffic import Call

Watch = tuple[str, str | None]
"""A kind and a namespace; None is the whole cluster."""
STARTING: Final = "the operator is starting"
STOPPING: Final = "the operator is stopping"
OK: Final = "200"
SERVER_ERROR: Final = "5"


@dataclass(frozen=True)
class HealthLimits:
    """Limits in seconds, from the settings."""

    watch: float
    """How long a watch may receive nothing while the API server answers other requests."""
    stall: float
    """How long a run may wait in the queue while no reconcile pass ends."""
    contact: float
    """How long the API server may answer nothing before the operator is not ready."""


@dataclass(frozen=True)
class ProbeResult:
    """The answer to a probe."""

    reasons: tuple[str, ...]
    ages: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons


@dataclass
class Health:
    """Times of the last signs of life. Written by the event loop and by threads, read by the HTTP server."""

    limits: HealthLimits
    watches: Collection[Watch]
    clock: Callable[[], float] = time.monotonic
    startup_blocker: str | None = STARTING
    """What must happen before the operator can work at all."""
    loop_problem: Callable[[], str | None] = lambda: None
    oldest_wait: Callable[[], float] = lambda: 0.0
    _last_event_at: dict[Watch, float] = field(default_factory=dict)
    _last_contact_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._measured_from = self.clock()

    def begin(self) -> None:
        """Start measuring: the operator has started."""
        self.startup_blocker = None
        self._measured_from = self.clock()

    def answered(self, call: Call, code: str) -> None:
        """Record the answer to a request; an answered watch also counts as an event of that watch."""
        if code >= SERVER_ERROR:  # both "unreachable" and 5xx
            return
        if self._api_silence():  # an outage is over: give the watches time to reconnect
            self._measured_from = self.clock()
        self._last_contact_at["api"] = self.clock()
        if call.verb == "watch" and code == OK:
            self.watch_delivered(call.resource, call.namespace)

    def watch_delivered(self, kind: str, namespace: str | None) -> None:
        """Record an event from a watch of one namespace or of the whole cluster."""
        for watch in ((kind, namespace), (kind, None)):
            if watch in self.watches:
                self._last_event_at[watch] = self.clock()

    def reconcile_ended(self) -> None:
        """Record that a reconcile pass or a resync ended, successfully or not."""
        self._last_contact_at["pass"] = self.clock()

    def watch_ages(self) -> dict[str, float]:
        """Return the seconds since the last event of each kind, counted for the most silent watch."""
        found: dict[str, float] = {}
        for (kind, _), at in self._last_event_at.copy().items():
            found[kind] = max(self.clock() - at, found.get(kind, 0.0))
        return found

    def ages(self) -> dict[str, float]:
        """Return the seconds since the API server answered, and since a reconcile pass or a resync ended."""
        return {name: self.clock() - at for name, at in self._last_contact_at.copy().items()}

    def all_watches_open(self) -> bool:
        """Return whether every watch has been open."""
        return set(self.watches) <= self._last_event_at.keys()

    def alive(self) -> ProbeResult:
        """Return whether the process is alive; if not, a restart helps."""
        reasons = (self.loop_problem(), self._stall(), *map(self._watch_silence, self.watches))
        return self._report(*reasons)

    def ready(self) -> ProbeResult:
        """Return whether runs are being reconciled now."""
        return self._report(self.startup_blocker or self._missing(), self._api_silence())

    def _stall(self) -> str | None:
        since_a_pass = self.clock() - self._last_contact_at.get("pass", self._measured_from)
        wait = min(self.oldest_wait(), since_a_pass)
        if wait <= self.limits.stall:
            return None
        return f"a run has waited {wait:.0f} s and no reconcile pass ended"

    def _watch_silence(self, watch: Watch) -> str | None:
        age = self._age(self._last_event_at.get(watch))
        if self.startup_blocker or age <= self.limits.watch or self._api_silence():
            return None
        where = f"in namespace {watch[1]}" if watch[1] else "in the cluster"
        return f"the watch of {watch[0]} {where} has received nothing for {age:.0f} s"

    def _api_silence(self) -> str | None:
        age = self.ages().get("api")
        if age is None:
            return "the API server has not answered yet"
        return f"the API server has not answered for {age:.0f} s" if age > self.limits.contact else None

    def _missing(self) -> str | None:
        if missing := sorted({kind for kind, _ in set(self.watches) - self._last_event_at.keys()}):
            return f"the first list is not complete yet: {', '.join(missing)}"
        return None if "pass" in self._last_contact_at else "the first lists are not in the cache yet"

    def _age(self, at: float | None) -> float:
        """Return the seconds since a time, but never since before measuring began."""
        return self.clock() - max(self._measured_from, at or 0.0)

    def _report(self, *reasons: str | None) -> ProbeResult:
        ages = {"watch": _rounded(self.watch_ages()), **_rounded(self.ages())}
        ages["oldestWait"] = round(self.oldest_wait(), 1)
        return ProbeResult(tuple(one for one in reasons if one), ages)


def _rounded(ages: dict[str, float]) -> dict[str, Any]:
    return {name: round(age, 1) for name, age in sorted(ages.items())}
