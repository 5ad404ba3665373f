"""Whether the operator lives, by its progress, and whether it is ready: what the probes are told.

A restart helps against a task that died, a loop that hangs and a watch that is deaf while the API server
talks to others. It does not help against an API server that talks to nobody: then the operator is not ready,
and lives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qlib_shadow_operator.kube.traffic import Call

Watch = tuple[str, str | None]
"""A kind, and the namespace; None is the whole cluster."""
STARTING: Final = "the operator is starting"
STOPPING: Final = "the operator is stopping"
OK: Final = "200"
SERVER_ERROR: Final = "5"


@dataclass(frozen=True)
class HealthLimits:
    """Seconds, from the settings."""

    watch: float
    """How long a watch may hear nothing while the API server answers others."""
    stall: float
    """How long a run may wait for a look while no look comes to its end."""
    contact: float
    """How long the API server may answer nothing before the operator is not ready."""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe is told."""

    reasons: tuple[str, ...]
    ages: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.reasons


@dataclass
class Health:
    """What was last heard, and of whom. Written by the loop and by threads, read by the server's threads."""

    limits: HealthLimits
    watches: Collection[Watch]
    clock: Callable[[], float] = time.monotonic
    startup_blocker: str | None = STARTING
    """What has to happen before the operator can work at all."""
    loop_problem: Callable[[], str | None] = lambda: None
    oldest_wait: Callable[[], float] = lambda: 0.0
    _last_event_at: dict[Watch, float] = field(default_factory=dict)
    _last_contact_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._measured_from = self.clock()

    def begin(self) -> None:
        """Begin to judge: what had to happen has happened."""
        self.startup_blocker = None
        self._measured_from = self.clock()

    def answered(self, call: Call, code: str) -> None:
        """Note what came of a request; the answer to a watch says that all before it was told."""
        if code >= SERVER_ERROR:  # words and 5xx alike
            return
        if self._api_silence():  # an outage is over: the watches have their time to come back
            self._measured_from = self.clock()
        self._last_contact_at["api"] = self.clock()
        if call.verb == "watch" and code == OK:
            self.watch_delivered(call.resource, call.namespace)

    def watch_delivered(self, kind: str, namespace: str | None) -> None:
        """Note news from a watch of one namespace, or of all."""
        for watch in ((kind, namespace), (kind, None)):
            if watch in self.watches:
                self._last_event_at[watch] = self.clock()

    def reconcile_ended(self) -> None:
        """Note that a look or a resync came to its end, well or badly."""
        self._last_contact_at["pass"] = self.clock()

    def watch_ages(self) -> dict[str, float]:
        """Give the seconds since each kind was heard of; of several watches the most silent one counts."""
        found: dict[str, float] = {}
        for (kind, _), at in self._last_event_at.copy().items():
            found[kind] = max(self.clock() - at, found.get(kind, 0.0))
        return found

    def ages(self) -> dict[str, float]:
        """Give the seconds since the API server answered, and since a look or a resync came to its end."""
        return {name: self.clock() - at for name, at in self._last_contact_at.copy().items()}

    def all_watches_open(self) -> bool:
        """Say whether every watch has been open."""
        return set(self.watches) <= self._last_event_at.keys()

    def alive(self) -> ProbeResult:
        """Say whether a restart would help."""
        reasons = (self.loop_problem(), self._stall(), *map(self._watch_silence, self.watches))
        return self._report(*reasons)

    def ready(self) -> ProbeResult:
        """Say whether runs are looked after now."""
        return self._report(self.startup_blocker or self._missing(), self._api_silence())

    def _stall(self) -> str | None:
        since_a_pass = self.clock() - self._last_contact_at.get("pass", self._measured_from)
        wait = min(self.oldest_wait(), since_a_pass)
        if wait <= self.limits.stall:
            return None
        return f"a run has waited {wait:.0f} s and no look came to its end"

    def _watch_silence(self, watch: Watch) -> str | None:
        age = self._age(self._last_event_at.get(watch))
        if self.startup_blocker or age <= self.limits.watch or self._api_silence():
            return None
        where = f"in namespace {watch[1]}" if watch[1] else "in the cluster"
        return f"the watch of {watch[0]} {where} is deaf for {age:.0f} s, while the API server answers"

    def _api_silence(self) -> str | None:
        age = self.ages().get("api")
        if age is None:
            return "the API server has not answered yet"
        return f"the API server has not answered for {age:.0f} s" if age > self.limits.contact else None

    def _missing(self) -> str | None:
        if missing := sorted({kind for kind, _ in set(self.watches) - self._last_event_at.keys()}):
            return f"the first list is not in yet: {', '.join(missing)}"
        return None if "pass" in self._last_contact_at else "the first lists are not in the cache yet"

    def _age(self, at: float | None) -> float:
        """Count from what was heard, but never from before it could be judged."""
        return self.clock() - max(self._measured_from, at or 0.0)

    def _report(self, *reasons: str | None) -> ProbeResult:
        ages = {"watch": _rounded(self.watch_ages()), **_rounded(self.ages())}
        ages["oldestWait"] = round(self.oldest_wait(), 1)
        return ProbeResult(tuple(one for one in reasons if one), ages)


def _rounded(ages: dict[str, float]) -> dict[str, Any]:
    return {name: round(age, 1) for name, age in sorted(ages.items())}
