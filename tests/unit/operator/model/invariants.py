"""What holds for every status that is ever written; each invariant is one function.

They follow from the design, not from the code. A violation is an AssertionError with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import StageState
from qlib_shadow_operator.runs.transitions import is_legal
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.stages import stages_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.operator.model.apiserver import Document
    from tests.unit.operator.model.ground_truth import Facts

TERMINAL = ("Complete", "Failed")
KEPT = ("runId", "artifactPath", "startTime")
"""Never changed once set."""
GATHERED = ("dataset", "metrics", "configHash", "imageID")
"""Never lost once set."""
MESSAGE_MAX = 1000
STATUS_MAX = 8_000
PATIENCE = int(Defaults().start_timeout.total_seconds())
IMPATIENT = frozenset(
    {
        *("Unschedulable", "VolumeClaimMissing", "ImageUnavailable", "ContainerCannotStart"),
        *("StartTimedOut", "NoPod", "QuotaExceeded", "PodRefused"),
    }
)
"""A stage may fail for these reasons after its whole start timeout."""


@dataclass(frozen=True)
class Write:
    """A status that replaces another."""

    old: Document
    new: Document
    facts: Facts
    writer_is_current: bool
    """Whether the writing operator has received all events."""

    @property
    def statuses(self) -> tuple[Document, Document]:
        """Return both statuses."""
        return self.old.get("status") or {}, self.new.get("status") or {}

    @property
    def stages(self) -> list[tuple[Stage, Document, Document]]:
        """Return each stage before and after."""
        old, new = ({one["name"]: one for one in status.get("stages", ())} for status in self.statuses)
        blank = {"state": "Pending"}
        return [(Stage(name), old.get(name, blank), new[name]) for name in new]

    def conditions(self) -> tuple[dict[str, Document], dict[str, Document]]:
        """Return the conditions before and after, by type."""
        old, new = ({one["type"]: one for one in s.get("conditions", ())} for s in self.statuses)
        return old, new


def true(conditions: dict[str, Document]) -> set[str]:
    """Return the terminal conditions that are True."""
    return {kind for kind in TERMINAL if conditions.get(kind, {}).get("status") == "True"}


def one_terminal_condition_turns_true_and_never_back(write: Write) -> None:
    """Check that at most one of Complete and Failed is ever True."""
    old, new = (true(one) for one in write.conditions())
    assert len(new) <= 1, f"{new} hold at once"
    assert old <= new, f"{old} was taken back"


def stages_go_legal_ways(write: Write) -> None:
    """Check that every transition is in the table."""
    for name, old, new in write.stages:
        ways = StageState(old["state"]), StageState(new["state"])
        assert is_legal(*ways), f"stage {name} went from {ways[0]} to {ways[1]}"


def what_is_finished_is_history(write: Write) -> None:
    """Check that a finished stage never changes, attempts never decrease, and a start time never moves."""
    for name, old, new in write.stages:
        assert old["state"] not in {"Succeeded", "Failed"} or old == new, f"finished stage {name} changed"
        assert old.get("attempts", 0) <= new.get("attempts", 0), f"attempts of {name} went down"
        assert old.get("startTime") in {None, new.get("startTime")}, f"{name} started again"


def nothing_is_taken_back(write: Write) -> None:
    """Check that what was written once is never removed."""
    old, new = write.statuses
    for name in KEPT:
        assert old.get(name) in {None, new.get(name)}, f"{name} changed"
    for name in GATHERED:
        assert not old.get(name) or new.get(name), f"{name} was lost"
    assert old.get("observedGeneration", 0) <= new["observedGeneration"], "observedGeneration went back"


def generation_is_the_runs(write: Write) -> None:
    """Check that the writer has read the current spec."""
    assert write.new["status"]["observedGeneration"] == write.new["metadata"]["generation"]


def times_tell_when_a_condition_turned(write: Write) -> None:
    """Check that a transition time changes only with its condition."""
    old, new = write.conditions()
    for kind in set(old) & set(new):
        same = old[kind]["status"] == new[kind]["status"]
        moved = old[kind]["lastTransitionTime"] != new[kind]["lastTransitionTime"]
        assert not (same and moved), f"{kind} did not turn, but its time moved"


def texts_are_bounded(write: Write) -> None:
    """Check that ten thousand statuses fit into etcd."""
    texts = [one.get("message") or "" for _, _, one in write.stages]
    texts += [one["message"] for one in write.conditions()[1].values()]
    longest = max(map(len, texts), default=0)
    assert longest <= MESSAGE_MAX, f"a message has {longest} characters"
    size = len(str(write.new["status"]))
    assert size <= STATUS_MAX, f"the status has {size} characters"


def the_stages_are_the_runs(write: Write) -> None:
    """Check that the status has exactly the stages that follow from the spec, in order."""
    names = tuple(name for name, _, _ in write.stages)
    assert names in {(), stages_of(write.new["spec"])}, f"the status has the stages {names}"


def a_stage_waits_for_the_one_before(write: Write) -> None:
    """Check that a stage stays Pending until the one before it has succeeded."""
    states = [(name, new["state"]) for name, _, new in write.stages]
    for (before, first), (name, second) in pairwise(states):
        told = f"{name} is {second} while {before} is {first}"
        assert first == "Succeeded" or second == "Pending", told


def success_is_true(write: Write) -> None:
    """Check that a succeeded stage has a pod that succeeded."""
    uid = write.new["metadata"]["uid"]
    for name, _, new in write.stages:
        if new["state"] == "Succeeded":
            assert (uid, name) in write.facts.successes, f"{name} never succeeded"


def completeness_is_true(write: Write) -> None:
    """Check that a complete run has only succeeded stages and a completion time."""
    holds = true(write.conditions()[1])
    if "Complete" in holds:
        assert {new["state"] for _, _, new in write.stages} == {"Succeeded"}
    assert bool(holds) == ("completionTime" in write.new["status"]), (
        "an end without a time, or a time without"
    )


def failure_has_a_cause(write: Write) -> None:
    """Check that a failed stage has a real cause, and failed no earlier than its timeout."""
    uid, facts = write.new["metadata"]["uid"], write.facts
    for name, old, new in write.stages:
        if new["state"] != "Failed" or old["state"] == "Failed":
            continue
        reason, place = new["reason"], (uid, name)
        if reason in facts.failures[place]:
            continue
        since = since_when(facts, reason, place)
        told = f"{name} failed for {reason}, but {sorted(facts.failures[place])} are the causes"
        assert since is not None or not write.writer_is_current, told
        waited = facts.clock.now - (since or 0)
        assert waited >= PATIENCE or not write.writer_is_current, f"{reason} after only {waited} s"


def since_when(facts: Facts, reason: str, place: Any) -> int | None:
    """Return since when a stage has waited for a reason that becomes a failure after a timeout."""
    if reason in {"JobRejected", "JobNotCreated", "QuotaExceeded"} and place in facts.refused_since:
        return facts.refused_since[place]
    return facts.moved_at.get(place) if reason in IMPATIENT else None


PROMISES: tuple[Callable[[Write], None], ...] = (
    one_terminal_condition_turns_true_and_never_back,
    stages_go_legal_ways,
    what_is_finished_is_history,
    nothing_is_taken_back,
    generation_is_the_runs,
    times_tell_when_a_condition_turned,
    texts_are_bounded,
    the_stages_are_the_runs,
    a_stage_waits_for_the_one_before,
    success_is_true,
    completeness_is_true,
    failure_has_a_cause,
)
