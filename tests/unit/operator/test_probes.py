"""The probes' answers: alive while a restart would not help, ready while runs are reconciled."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qlib_shadow_operator.kube.traffic import UNREACHABLE, Call
from qlib_shadow_operator.loop.probes import STARTING, STOPPING, Health, HealthLimits

KINDS = ("runs", "jobs", "pods")
LIMITS = HealthLimits(watch=300, stall=200, contact=90)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Story:
    """An operator that watches one namespace."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health = Health(LIMITS, [(kind, "research") for kind in KINDS], clock=self.clock)

    def begun(self) -> Story:
        """Start kopf, and open every watch."""
        self.health.begin()
        self.health.reconcile_ended()
        return self.watched(*KINDS)

    def watched(self, *kinds: str, code: str = "200") -> Story:
        """Open these watches again, as happens every 45 s."""
        for kind in kinds:
            self.health.answered(Call("watch", kind, "research"), code)
        return self

    def answered(self, code: str = "200") -> Story:
        """Answer another request of the API server."""
        self.health.answered(Call("patch", "runs/status", "research"), code)
        return self

    def later(self, seconds: float) -> Story:
        """Advance the clock."""
        self.clock.now += seconds
        return self


def test_new_process_is_alive_but_not_ready():
    """While the CRD or the API server is waited for."""
    story = Story().later(10_000)
    assert story.health.alive().ok
    assert story.health.ready().reasons == (STARTING, "the API server has not answered yet")


def test_ready_when_every_first_list_is_complete():
    """The watch of a kind starts where its list ended."""
    story = Story()
    story.health.begin()
    assert story.watched("runs").health.ready().reasons == ("the first list is not complete yet: jobs, pods",)
    assert story.watched("jobs", "pods").health.all_watches_open()
    assert story.health.ready().reasons == ("the first lists are not in the cache yet",)
    story.health.reconcile_ended()
    assert story.health.ready().ok


def test_refused_watch_is_not_an_event():
    """The API server answers but delivers no events."""
    story = Story()
    story.health.begin()
    story.watched(*KINDS, code="403")
    assert story.health.ready().reasons == ("the first list is not complete yet: jobs, pods, runs",)


def test_api_server_outage_keeps_the_operator_alive():
    """The operator is alive but not ready; no answer and an error of a proxy count the same."""
    story = Story().begun().later(3600).answered(UNREACHABLE).answered("503")
    assert story.health.ready().reasons == ("the API server has not answered for 3600 s",)
    assert story.health.alive().ok


def test_watches_may_reconnect_after_an_outage():
    """The first answer after an hour does not make the watches overdue."""
    story = Story().begun().later(3600).answered()
    assert story.health.alive().ok
    assert story.health.ready().ok
    for _ in range(5):
        story.later(60).answered()
    assert story.health.alive().ok
    assert len(story.later(1).health.alive().reasons) == 3


def test_silent_watch_while_the_api_server_answers_is_not_alive():
    """The other watches continue, so nothing else detects it."""
    story = Story().begun()
    for _ in range(6):
        story.later(45).watched("runs", "jobs")
    assert story.health.alive().ok
    story.later(45).watched("runs", "jobs")
    assert story.health.alive().reasons == (
        "the watch of pods in namespace research has received nothing for 315 s",
    )


def test_waiting_for_the_crd_does_not_count_as_silence():
    """Silence counts from when the watches could open."""
    story = Story().later(10_000).answered()
    story.health.begin()
    assert story.health.alive().ok


def test_stalled_queue_is_not_alive():
    """A run waits, and no pass ends."""
    story = Story().begun()
    story.health.reconcile_ended()
    story.health.oldest_wait = lambda: 500.0
    assert story.later(200).watched(*KINDS).health.alive().ok
    assert story.later(1).health.alive().reasons == ("a run has waited 201 s and no reconcile pass ended",)


def test_long_queue_that_moves_is_alive():
    """Ten thousand runs at once take their time."""
    story = Story().begun()
    story.health.oldest_wait = lambda: 5000.0
    story.later(5000).watched(*KINDS).health.reconcile_ended()
    assert story.health.alive().ok


def test_an_idle_operator_is_healthy():
    """A day without work is healthy."""
    story = Story().begun().later(86_400).watched(*KINDS)
    assert story.health.alive().ok
    assert story.health.ready().ok


def test_problem_of_the_workers_is_reported():
    """In the workers' words."""
    story = Story().begun()
    story.health.loop_problem = lambda: "these tasks have ended: resync"
    assert story.health.alive().reasons == ("these tasks have ended: resync",)


def test_stopping_operator_is_alive_but_not_ready():
    """The kubelet waits for its end."""
    story = Story().begun()
    story.health.startup_blocker = STOPPING
    assert story.health.ready().reasons == (STOPPING,)
    assert story.health.alive().ok


def test_watch_events_reset_the_silence():
    """Events between two watches count, also for a watch of the whole cluster."""
    clock = Clock()
    health = Health(LIMITS, [("runs", None)], clock=clock)
    health.answered(Call("watch", "runs", None), "200")
    clock.now += 40
    health.watch_delivered("runs", "research")
    clock.now += 2.5
    assert health.watch_ages() == {"runs": 2.5}


def test_most_silent_namespace_counts():
    """One namespace's events do not hide another's silence."""
    clock = Clock()
    health = Health(LIMITS, [("runs", "one"), ("runs", "two")], clock=clock)
    health.watch_delivered("runs", "one")
    clock.now += 7
    health.watch_delivered("runs", "two")
    assert health.watch_ages() == {"runs": 7}


def test_probe_answer_has_the_ages():
    """A user sees how near a limit is."""
    story = Story().begun().later(3)
    story.health.reconcile_ended()
    story.later(1.25)
    assert story.health.alive().ages == {
        "watch": pytest.approx({"jobs": 4.2, "pods": 4.2, "runs": 4.2}),
        "api": 4.2,
        "pass": 1.2,
        "oldestWait": 0.0,
    }
