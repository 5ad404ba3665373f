"""What a stage waits for is true, and how long it may wait is stored on objects, never in a process."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.model.apiserver import JOBS, refusal
from tests.unit.operator.model.clock import BEGINNING
from tests.unit.operator.model.simulation import REST_AFTER, World

from qlib_shadow_operator.runs.defaults import Defaults

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

SHORT = Defaults(start_timeout=timedelta(seconds=60))


def stage_of(world: World) -> dict[str, Any]:
    """Return the status of the download stage."""
    assert world.run is not None
    found: dict[str, Any] = world.run["status"]["stages"][0]
    return found


def passes(world: World, seconds: int, step: int = 5) -> None:
    """Let time pass in steps, in which every actor does what is due."""
    for _ in range(0, seconds, step):
        world.clock.now += step
        assert any(not world.round() for _ in range(REST_AFTER)), f"no rest: {world.tell()}"


def told_time(day: datetime, text: str) -> datetime:
    """Return the time of a message."""
    hour, minute, second = map(int, text.split(":"))
    return day.replace(hour=hour, minute=minute, second=second)


def test_pods_that_are_removed_again_and_again_wait_for_the_job_controller_not_for_a_quota():
    """It waits ten minutes in the end; a start timeout of one minute counts from then."""
    world = World(fate="is preempted", defaults=SHORT)
    world.user_applies()
    told: dict[int, str] = {}
    while world.controller.pods_made < 9:
        passes(world, 5)
        stage = stage_of(world)
        assert stage["state"] != "Failed", stage
        assert "quota" not in stage.get("message", "")
        if stage.get("reason") == "BackOff":
            told[world.controller.pods_made] = stage["message"]
            assert f"attempt {world.controller.pods_made + 1} is expected" in stage["message"]
            [uid] = world.controller.wake_at
            at = re.search("about ([0-9:]+) UTC", stage["message"])
            assert at
            due = BEGINNING + timedelta(seconds=world.controller.wake_at[uid])
            assert abs(due - told_time(due, at[1])) <= timedelta(seconds=10), stage["message"]
    assert len(told) >= 5, "short waits are not told"
    world.fate = "exits with 0"
    world.settles()
    world.check_settled()


@pytest.mark.parametrize("what", ["labels", "ownerReferences"])
@pytest.mark.parametrize("suspend", [False, True])
def test_job_that_lost_what_marks_it_is_marked_again_and_never_called_deleted(what: str, *, suspend: bool):
    """The watch does not show it any more, but it works: suspending the run still suspends it."""
    world = World(fate="hangs")
    world.user_applies()
    passes(world, 60)
    [job] = world.jobs
    world.user_removes_marks(job, what)
    if suspend:
        world.user_suspends(suspend=True)
    passes(world, 60)
    [again] = world.jobs
    assert again["metadata"]["labels"] == job["metadata"]["labels"]
    assert again["metadata"]["ownerReferences"] == job["metadata"]["ownerReferences"]
    assert (stage_of(world)["state"], bool(again["spec"].get("suspend"))) == (
        ("Suspended", True) if suspend else ("Running", False)
    )
    assert "deleted" not in str(world.events)
    world.user_suspends(suspend=False)
    world.fate = "exits with 0"
    world.settles()
    world.check_settled()
    assert stage_of(world)["state"] == "Succeeded"


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize("fate", ["exits with 0", "exits with 11"])
def test_pod_that_lost_its_labels_is_looked_up_and_its_end_is_told(fate: str, seconds: int):
    """Before it runs or while it does: it is not called gone, and no start timeout ends it."""
    world = World(fate="container is being created" if seconds == 0 else "hangs")
    world.user_applies()
    passes(world, 5 + seconds)
    [pod] = world.pods
    world.user_removes_labels(pod)
    world.fate = "hangs"
    passes(world, 300)
    assert stage_of(world)["state"] == "Running", stage_of(world)
    passes(world, 3_000, step=60)
    assert (stage_of(world)["state"], stage_of(world)["attempts"]) == ("Running", 1)
    world.fate = fate
    world.settles()
    world.check_settled()
    ends = {"exits with 0": ("Succeeded", "Succeeded"), "exits with 11": ("Failed", "DatasetMissing")}
    assert (stage_of(world)["state"], stage_of(world)["reason"]) == ends[fate]
    assert len(world.pods) == (2 if fate == "exits with 0" else 1), "one attempt of each stage"


@pytest.mark.parametrize("lost", [["kueue.x-k8s.io/queue-name"], None])
def test_queued_job_that_lost_its_queue_is_queued_again(lost: list[str] | None):
    """With the label of its queue alone, or with all labels: without it Kueue would never admit the Job."""
    world = World()
    world.user_applies(queueName="nightly")
    world.operators[0].hear_everything()
    world.look(world.operators[0])
    [job] = world.jobs
    kept = {name: value for name, value in job["metadata"]["labels"].items() if lost and name not in lost}
    world.server.replace(JOBS, job, {**job, "metadata": {**job["metadata"], "labels": kept}})
    world.settles()
    world.check_settled()
    assert stage_of(world)["state"] == "Succeeded"


@pytest.mark.parametrize("loser", ["Job", "pod"])
def test_recovery_job_that_lost_its_labels_is_found(loser: str):
    """Or its pod: the result is read, and the stage neither reports again for ever nor fails."""
    world = World(fate="hangs")
    world.user_applies()
    passes(world, 60)
    [pod] = world.pods
    world.node.step(pod, "exits with 0")
    world.controllers_work()
    world.controllers_work()
    world.user_deletes_pod(world.pods[0])
    passes(world, 60)
    [_, report] = world.jobs
    if loser == "Job":
        world.user_removes_marks(report, "labels")
    else:
        world.user_removes_labels(world.pods[-1])
    world.fate = "exits with 0"
    world.settles()
    world.check_settled()
    assert stage_of(world)["state"] == "Succeeded"


def test_job_of_the_same_name_that_is_not_the_runs_has_its_own_reason():
    """Nothing of it is changed, and the run continues once it is deleted."""
    world = World()
    world.server.job_refusal = refusal(403, "exceeded quota: research")
    world.user_applies()
    passes(world, 5)
    assert world.run is not None
    world.server.job_refusal = None
    name = f"{world.run['status']['runId']}-download"
    meta = {"name": name, "namespace": "research", "uid": "foreign", "resourceVersion": "1"}
    ended = {"conditions": [{"type": "Complete", "status": "True"}]}
    taken = world.server.objects[JOBS][name] = {"metadata": meta, "spec": {}, "status": ended}
    passes(world, 30)
    assert stage_of(world)["reason"] == "JobNameTaken"
    assert "does not belong to this run" in stage_of(world)["message"]
    assert world.jobs == [taken]
    del world.server.objects[JOBS][name]
    world.settles()
    world.check_settled()
    assert stage_of(world)["state"] == "Succeeded"


def refuses_jobs(world: World) -> None:
    """Refuse every new Job."""
    world.server.job_refusal = refusal(403, "exceeded quota: research")


def deletes_and_refuses_jobs(world: World) -> None:
    """Delete the running Job, and refuse another one."""
    passes(world, 60)
    refuses_jobs(world)
    world.user_deletes_job(world.jobs[0])


def refuses_pods(world: World) -> None:
    """Refuse every new pod."""
    world.controller.refuses_pods = True


def deletes_and_refuses_pods(world: World) -> None:
    """Delete the running pod, and refuse another one."""
    passes(world, 60)
    refuses_pods(world)
    world.user_deletes_pod(world.pods[0])


def cannot_pull(world: World) -> None:
    """Pull no image."""
    world.fate = "image cannot be pulled"


def creates_no_container(world: World) -> None:
    """Say nothing about why no container is created."""
    world.fate = "container is being created"


OBSTACLES = (
    *(refuses_jobs, deletes_and_refuses_jobs, refuses_pods, deletes_and_refuses_pods),
    *(cannot_pull, creates_no_container),
)


@pytest.mark.parametrize("is_blind", [False, True])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_restarts_do_not_begin_the_start_timeout_again(obstacle: Callable[[World], None], *, is_blind: bool):
    """Its time is stored on objects; also where Events can be read only now and then."""
    world = World(fate="hangs")
    world.user_applies()
    obstacle(world)
    passes(world, 60)
    begun, limit = world.clock.now, int(Defaults().start_timeout.total_seconds())
    for number in range(limit // 300 + 2):
        world.operators[0].die()
        world.operators[0].line.hides_events = is_blind and number % 2 == 0
        passes(world, 300, step=60)
    stage = stage_of(world)
    assert stage["state"] == "Failed", f"{stage} {world.clock.now - begun} s after the obstacle"
