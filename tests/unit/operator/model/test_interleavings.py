"""In any order of events, every invariant holds at every write, and every run ends.

Hypothesis generates stories of users, controllers, nodes, connections and operators that die at any call.
After each story the disturbances end, and the run must end, too. A failing story is printed as steps that can
be pasted into a test. `make chaos` generates thousands of new ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.operator.model.apiserver import KINDS, has_ended, is_true, refusal
from tests.unit.operator.model.controllers import admit, preempt
from tests.unit.operator.model.endpoints import Mischief
from tests.unit.operator.model.ground_truth import place_of
from tests.unit.operator.model.node import ENDS, UNCOUNTED, UNSCHEDULABLE, WAITING, state_of
from tests.unit.operator.model.simulation import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.unit.operator.model.apiserver import Document

T = TypeVar("T")
ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_STORIES", "0"))
"""Number of stories; by default a few hundred, always the same ones."""
FATES = (
    *("exits with 0", "exits with 13", "hangs", "image cannot be pulled", "claim is missing"),
    *("is killed for memory", "is lost with its node"),
)
USUAL = "exits with 0"
SPECS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"suspend": True}, {"queueName": "nightly"}),
    {"dataset": {"version": "3f9c0a1b2c3d"}},
)
SECONDS = (0, 1, 5, 11, 31, 61, 130, 601, 1_801, 3_601, 15_000)
LIVES = (60, 100_000, 100_000)

REFUSALS = (
    *((403, "no " * 600), (403, "exceeded quota: research"), (422, "the Job cannot be")),
    *((500, "failed calling webhook"), (503, "busy")),
)
"""Status codes and messages with which a Job may not be created."""

some = st.integers(0, 7)
"""Picks one of a few things, however many there are."""
first_or_second = st.integers(0, 1)
mischief = st.lists(st.sampled_from(Mischief), max_size=5)


class Story(RuleBasedStateMachine):
    """The events of a story."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(
        fate=st.sampled_from((USUAL, USUAL, *FATES)), spec=st.sampled_from(SPECS), rounds=st.integers(0, 9)
    )
    def begins(self, fate: str, spec: dict[str, Any], rounds: int) -> None:
        """Apply a run, and let no fault happen for a while."""
        self.world.user_applies(**spec)
        for _ in range(rounds):
            self.world.round()
        self.world.fate = fate

    # --- users

    @rule(suspend=st.booleans())
    def user_suspends(self, *, suspend: bool) -> None:
        """Suspend or resume the run."""
        self.world.user_suspends(suspend=suspend)

    @precondition(lambda self: self.world.jobs)
    @rule(which=some)
    def user_deletes_job(self, which: int) -> None:
        """Delete a Job by hand."""
        self.world.user_deletes_job(pick(self.world.jobs, which))

    @precondition(lambda self: self.world.jobs)
    @rule(which=some, what=st.sampled_from(("labels", "ownerReferences")))
    def user_removes_marks(self, which: int, what: str) -> None:
        """Remove what the operator finds a Job by."""
        self.world.user_removes_marks(pick(self.world.jobs, which), what)

    @precondition(lambda self: self.world.pods)
    @rule(which=some)
    def user_removes_labels(self, which: int) -> None:
        """Remove what the operator finds a pod by."""
        self.world.user_removes_labels(pick(self.world.pods, which))

    @precondition(lambda self: self.world.pods)
    @rule(which=some)
    def user_deletes_pod(self, which: int) -> None:
        """Delete a pod by hand."""
        self.world.user_deletes_pod(pick(self.world.pods, which))

    @rule(what=st.sampled_from(("delete", *["apply"] * 5, *LIVES)))
    def user_ends_run(self, what: str | int) -> None:
        """Delete the run, create another one of the same name, or set its time to live."""
        if what == "delete":
            self.world.user_deletes_run()
        elif what == "apply":
            self.world.user_applies()
        else:
            self.world.user_limits_life(int(what))

    @rule(seconds=st.sampled_from(LIVES))
    def user_limits_life_of_jobs(self, seconds: int) -> None:
        """Say how long the Jobs are kept."""
        self.world.user_limits_life(seconds, "jobTtlSeconds")

    # --- the cluster

    @rule(why=st.sampled_from((*REFUSALS, None, None)))
    def jobs_are_refused(self, why: tuple[int, str] | None) -> None:
        """Refuse Jobs for a quota, refuse them permanently, or accept them again."""
        self.world.server.job_refusal = refusal(*why) if why else None

    @rule(refuses=st.booleans())
    def pods_are_refused(self, *, refuses: bool) -> None:
        """Let a quota keep the Job controller from creating pods."""
        self.world.controller.refuses_pods = refuses

    @precondition(lambda self: self.world.jobs)
    @rule(which=some, does=st.sampled_from((admit, preempt)))
    def kueue_acts(self, which: int, does: Callable[..., None]) -> None:
        """Let Kueue admit or preempt a Job."""
        does(self.world.server, pick(self.world.jobs, which))

    @rule()
    def controllers_work(self) -> None:
        """Let the Job controller and the garbage collector work."""
        self.world.controllers_work()

    @precondition(lambda self: self.world.pods)
    @rule(which=some, step=st.integers(0, len(ENDS) - 1))
    def pod_moves(self, which: int, step: int) -> None:
        """Let any possible step happen to a pod."""
        pod = pick(self.world.pods, which)
        if steps := self.world.node.steps(pod):
            self.world.node.step(pod, pick(steps, step))

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: int) -> None:
        """Advance the clock."""
        self.world.clock.now += seconds

    @rule(rounds=st.integers(1, 3))
    def no_fault(self, rounds: int) -> None:
        """Let every actor do what is due, for a moment."""
        for _ in range(rounds):
            self.world.round()

    # --- the operators

    @precondition(lambda self: len(self.world.operators) == 1)
    @rule()
    def second_operator_starts(self) -> None:
        """Run two operators by mistake."""
        self.world.operators.append(self.world._operator())

    @rule(which=first_or_second, kind=st.sampled_from(KINDS), count=st.integers(1, 3), again=st.booleans())
    def operator_hears(self, which: int, kind: str, count: int, *, again: bool) -> None:
        """Let one watch deliver something, perhaps twice, while the others are late."""
        operator = pick(self.world.operators, which)
        (operator.hear_again if again else operator.hear)(kind, count)

    @rule(which=first_or_second, kind=st.sampled_from(KINDS))
    def watch_breaks(self, which: int, kind: str) -> None:
        """Let a watch miss changes and start again with a list; deletions are then never delivered."""
        pick(self.world.operators, which).reconnect(kind)

    @rule(
        which=first_or_second, plan=mischief, heard=st.sampled_from((KINDS, KINDS, ("runs",), ("jobs",), ()))
    )
    def operator_looks(self, which: int, plan: list[Mischief], heard: tuple[str, ...]) -> None:
        """Let an operator reconcile over a faulty connection, and perhaps be killed at any call."""
        operator = pick(self.world.operators, which)
        for kind in heard:
            operator.hear(kind)
        self.world.look(operator, plan)

    @rule(which=first_or_second)
    def operator_dies(self, which: int) -> None:
        """Kill an operator between two passes."""
        pick(self.world.operators, which).die()

    @rule(which=first_or_second, is_down=st.booleans())
    def line_breaks(self, which: int, *, is_down: bool) -> None:
        """Let an operator's calls fail for a while."""
        pick(self.world.operators, which).line.is_down = is_down

    # --- the end

    @invariant()
    def at_most_one_unfinished_pod_a_job(self) -> None:
        """Check the model itself: Kubernetes never runs two attempts of one Job at once."""
        owners = [p["metadata"]["ownerReferences"][0]["uid"] for p in self.world.pods if not has_ended(p)]
        assert len(owners) == len(set(owners))

    def teardown(self) -> None:
        """End the disturbances: the run ends, or is suspended as asked and ends once it is resumed."""
        world = self.world
        world.everything_is_mended()
        world.settles()
        world.check_settled()
        world.user_suspends(suspend=False)
        world.settles()
        world.check_settled()


@pytest.mark.parametrize("fate", sorted({*ENDS, *WAITING, *UNSCHEDULABLE, "hangs"} - UNCOUNTED))
def test_run_ends_however_its_pods_end(fate: str):
    """Every pod ends in the same way; only ends that are not retried for ever are tested."""
    world = World()
    world.fate = fate
    world.user_applies()
    world.settles()
    world.check_settled()


def drained_as_it_succeeds(world: World, stage: str) -> Document:
    """Let a stage's container succeed, and drain its queue before its Job is over; return the pod."""
    world.user_applies(queueName="nightly")

    def at_work() -> list[Document]:
        return [pod for pod in world.pods if place_of(pod)[1] == stage and "running" in state_of(pod)]

    while not at_work():
        world.round()
    [pod] = at_work()
    world.node.step(pod, "has stopped")
    [operator] = world.operators
    operator.hear_everything()
    world.look(operator)
    assert world.run is not None
    states = {one["name"]: one["state"] for one in world.run["status"]["stages"]}
    assert states[stage] == "Succeeded"
    [job] = [job for job in world.jobs if place_of(job)[1] == stage]
    preempt(world.server, job)
    world.controllers_work()
    return pod


@pytest.mark.parametrize("stage", ["download", "qrun"])
@pytest.mark.parametrize("dies", [False, True])
def test_queue_that_drains_before_a_job_is_over_does_not_start_its_stage_again(stage: str, *, dies: bool):
    """A stage has succeeded when its container has; its Job is Complete a moment later."""
    world = World()
    pod = drained_as_it_succeeds(world, stage)
    if dies:
        world.operators[0].die()
    world.settles()
    world.check_settled()
    assert is_true(world.run or {}, "Complete")
    assert world.facts.pods_made[place_of(pod)] == 1


def test_repetition_that_began_while_no_operator_was_there_is_stopped():
    """The queue was opened again meanwhile: the run stays Complete, and the pod does not go on."""
    world = World()
    drained_as_it_succeeds(world, "qrun")
    for _ in range(4):
        world.kueue_admits()
        world.controllers_work()
        world.node_works()
        if any("running" in state_of(pod) for pod in world.pods):
            break
    assert any("running" in state_of(pod) for pod in world.pods)
    world.fate = "hangs"
    world.operators[0].die()
    world.settles()
    world.check_settled()
    assert is_true(world.run or {}, "Complete")
    assert {place_of(job)[1] for job in world.jobs} == {"download"}  # not ended by its deadline


@pytest.mark.parametrize("code", [401, 408, 429, 500, 502, 503, 504])
def test_job_that_cannot_be_created_now_is_told_and_created_later(code: int):
    """The API server or a webhook is away: the run says so, posts an Event, and goes on by itself."""
    world = World()
    world.user_applies(queueName="nightly")
    world.server.job_refusal = refusal(code, 'failed calling webhook "mjob.kb.io":\x1b[2J refused.')
    for _ in range(3):
        world.clock.now += 1
        world.round()
    assert world.run is not None
    [stage, _] = world.run["status"]["stages"]
    assert (stage["state"], stage["reason"]) == ("Waiting", "JobNotCreated")
    told = 'the Job of stage download now: failed calling webhook "mjob.kb.io":\\x1b[2J refused. See'
    assert told in stage["message"]
    assert any(event["reason"] == "StageWaiting" and told in event["note"] for event in world.events)
    world.everything_is_mended()
    world.settles()
    assert is_true(world.run, "Complete")


def pick(things: Sequence[T], which: int) -> T:
    """Return one of the things, however many there are."""
    return things[which % len(things)]


TestStory = Story.TestCase
TestStory.settings = settings(
    max_examples=ROUNDS or 60,
    stateful_step_count=40,
    derandomize=not ROUNDS,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
