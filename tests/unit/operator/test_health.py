"""Health by progress: a restart where it helps, patience where it does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qlib_shadow_operator.kube.traffic import UNREACHABLE, Call
from qlib_shadow_operator.loop.probes import STARTING, STOPPING, Health, HealthLimits

KINDS = ("runs", "jobs", "pods")
LIMITS = HealthLimits(watch=300, stall=200, contact=90)


@dataclass
class Clock:
    """Stands still unless told."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Story:
    """An operator that watches one namespace."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health = Health(LIMITS, [(kind, "research") for kind in KINDS], clock=self.clock)

    def begun(self) -> Story:
        """Let kopf begin, and every watch be open."""
        self.health.begin()
        self.health.reconcile_ended()
        return self.watched(*KINDS)

    def watched(self, *kinds: str, code: str = "200") -> Story:
        """Let these watches be opened again, as each is every 45 s."""
        for kind in kinds:
            self.health.answered(Call("watch", kind, "research"), code)
        return self

    def answered(self, code: str = "200") -> Story:
        """Let the API server answer something else."""
        self.health.answered(Call("patch", "runs/status", "research"), code)
        return self

    def later(self, seconds: float) -> Story:
        """Let time pass."""
        self.clock.now += seconds
        return self


def test_a_new_process_lives_and_is_not_ready():
    """For as long as the CRD or the API server is waited for."""
    story = Story().later(10_000)
    assert story.health.alive().ok
    assert story.health.ready().reasons == (STARTING, "the API server has not answered yet")


def test_it_is_ready_when_every_first_list_is_in():
    """The watch of a kind begins where its list ended."""
    story = Story()
    story.health.begin()
    assert story.watched("runs").health.ready().reasons == ("the first list is not complete yet: jobs, pods",)
    assert story.watched("jobs", "pods").health.all_watches_open()
    assert story.health.ready().reasons == ("the first lists are not in the cache yet",)
    story.health.reconcile_ended()
    assert story.health.ready().ok


def test_a_refused_watch_is_no_contact():
    """The API server answers, and tells nothing."""
    story = Story()
    story.health.begin()
    story.watched(*KINDS, code="403")
    assert story.health.ready().reasons == ("the first list is not complete yet: jobs, pods, runs",)


def test_an_api_server_that_answers_nobody_is_no_reason_for_a_restart():
    """The operator is not ready, and lives; no answer, and an error of its proxy, are the same."""
    story = Story().begun().later(3600).answered(UNREACHABLE).answered("503")
    assert story.health.ready().reasons == ("the API server has not answered for 3600 s",)
    assert story.health.alive().ok


def test_after_an_outage_the_watches_have_their_time_to_come_back():
    """The first answer after an hour does not find them guilty."""
    story = Story().begun().later(3600).answered()
    assert story.health.alive().ok
    assert story.health.ready().ok
    for _ in range(5):
        story.later(60).answered()
    assert story.health.alive().ok
    assert len(story.later(1).health.alive().reasons) == 3


def test_a_watch_that_is_deaf_while_the_api_server_answers_is_a_reason_for_a_restart():
    """The others go on; nobody else would notice."""
    story = Story().begun()
    for _ in range(6):
        story.later(45).watched("runs", "jobs")
    assert story.health.alive().ok
    story.later(45).watched("runs", "jobs")
    assert story.health.alive().reasons == (
        "the watch of pods in namespace research has received nothing for 315 s",
    )


def test_waiting_long_for_the_crd_is_not_held_against_the_watches():
    """They are judged from when they could begin."""
    story = Story().later(10_000).answered()
    story.health.begin()
    assert story.health.alive().ok


def test_a_queue_that_stands_still_is_a_reason_for_a_restart():
    """Somebody waits, and nobody is looked at."""
    story = Story().begun()
    story.health.reconcile_ended()
    story.health.oldest_wait = lambda: 500.0
    assert story.later(200).watched(*KINDS).health.alive().ok
    assert story.later(1).health.alive().reasons == ("a run has waited 201 s and no reconcile pass ended",)


def test_a_long_queue_that_moves_is_health():
    """Ten thousand runs at once take their time."""
    story = Story().begun()
    story.health.oldest_wait = lambda: 5000.0
    story.later(5000).watched(*KINDS).health.reconcile_ended()
    assert story.health.alive().ok


def test_an_idle_operator_is_healthy():
    """Nothing to do for a day is nothing wrong."""
    story = Story().begun().later(86_400).watched(*KINDS)
    assert story.health.alive().ok
    assert story.health.ready().ok


def test_an_illness_of_the_workers_is_told():
    """In their words."""
    story = Story().begun()
    story.health.loop_problem = lambda: "these tasks have ended: resync"
    assert story.health.alive().reasons == ("these tasks have ended: resync",)


def test_one_that_stops_is_not_ready_and_lives():
    """The kubelet waits for its end."""
    story = Story().begun()
    story.health.startup_blocker = STOPPING
    assert story.health.ready().reasons == (STOPPING,)
    assert story.health.alive().ok


def test_news_is_contact():
    """Also between two watches, and for a watch of the whole cluster."""
    clock = Clock()
    health = Health(LIMITS, [("runs", None)], clock=clock)
    health.answered(Call("watch", "runs", None), "200")
    clock.now += 40
    health.watch_delivered("runs", "research")
    clock.now += 2.5
    assert health.watch_ages() == {"runs": 2.5}


def test_of_several_namespaces_the_most_silent_counts():
    """One deaf ear is not made good by the other."""
    clock = Clock()
    health = Health(LIMITS, [("runs", "one"), ("runs", "two")], clock=clock)
    health.watch_delivered("runs", "one")
    clock.now += 7
    health.watch_delivered("runs", "two")
    assert health.watch_ages() == {"runs": 7}


def test_the_report_has_the_ages():
    """So that a person sees how near a limit is."""
    story = Story().begun().later(3)
    story.health.reconcile_ended()
    story.later(1.25)
    assert story.health.alive().ages == {
        "watch": pytest.approx({"jobs": 4.2, "pods": 4.2, "runs": 4.2}),
        "api": 4.2,
        "pass": 1.2,
        "oldestWait": 0.0,
    }
