"""What really happened to each run, recorded as it happened, for comparison with its status."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.unit.operator.model.apiserver import JOBS, PODS, RUNS, first_labels, has_ended, is_true, owner_of
from tests.unit.operator.model.node import result_of, state_of

from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import LABEL_PURPOSE, LABEL_RUN_UID, LABEL_STAGE
from qlib_shadow_runner.contract import USER_ERRORS, Stage

if TYPE_CHECKING:
    from tests.unit.operator.model.apiserver import Document
    from tests.unit.operator.model.clock import Clock

Place = tuple[str, Stage]
"""A run's uid and one of its stages."""


def place_of(document: Document) -> Place:
    """Return the run and stage that a Job or Pod belongs to."""
    labels = first_labels(document)
    return labels[LABEL_RUN_UID], Stage(labels[LABEL_STAGE])


def is_report(document: Document) -> bool:
    """Return whether a Job or Pod only recovers a result."""
    return LABEL_PURPOSE in first_labels(document)


def life_of(pod: Document | None) -> tuple[bool, list[str], bool]:
    """Return how far a pod is."""
    begun = [state for state in state_of(pod or {}) if state != "waiting"]  # waiting is no progress
    return pod is not None, begun, has_ended(pod or {})


def is_done(pod: Document) -> bool:
    """Return whether a pod has ended, or its container has, which is reported a moment earlier."""
    return has_ended(pod) or "terminated" in state_of(pod)


@dataclass
class Facts:
    """The facts about all runs."""

    clock: Clock
    failures: dict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Reasons for which a stage may be failed."""
    ends: dict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    """How attempts ended."""
    successes: set[Place] = field(default_factory=set)
    complete: set[Place] = field(default_factory=set)
    """Stages of which a Job was complete."""
    failed: set[Place] = field(default_factory=set)
    """Stages of which a Job has failed."""
    moved_at: dict[Place, int] = field(default_factory=dict)
    """When a Job or Pod was last created, resumed, started or ended."""
    refused_since: dict[Place, int] = field(default_factory=dict)
    jobs_made: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    outgrown: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    """How many pods outgrew their own storage, which counts as a failed attempt."""
    pods_made: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    """Not counting those that only recover a result."""
    jobs_deleted: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    hopeless_jobs: set[str | None] = field(default_factory=set)
    """Uids of Jobs with an attempt that ended with a permanent error."""

    def note(self, old: Document | None, new: Document, kind: str) -> None:
        """Record a change of a Job or Pod."""
        if kind != RUNS and is_report(new):
            self._note_report(new, kind)
        elif kind == JOBS:
            self._note_job(old, new)
        elif kind == PODS:
            self._note_pod(old, new)

    def _note_report(self, new: Document, kind: str) -> None:
        """Record a lost result when a recovery Job fails or is deleted, and the failures that it reports."""
        if place_of(new) in self.failed and (told := result_of(new)):
            self.failures[place_of(new)].add(told)
        if kind == PODS and (result_of(new) or "deletionTimestamp" in new["metadata"]):
            self.failures[place_of(new)].add("ResultMissing")
        if kind == PODS and is_done(new) and not result_of(new):
            self._note_end(place_of(new), new)
        if kind == JOBS and is_true(new, "Failed"):
            self.failures[place_of(new)].add("ResultMissing")

    def _note_job(self, old: Document | None, new: Document) -> None:
        place = place_of(new)
        if old is None:
            self.jobs_made[place] += 1
            self.refused_since.pop(place, None)
        begun = {**new.get("status", {}), "conditions": None}.get("startTime")
        before = (old or {}).get("status", {}).get("startTime")
        # Not when it is suspended or resumed: the controller then writes a new start time.
        if old is None or begun != before:
            self.moved_at[place] = self.clock.now
        if is_true(new, "Complete"):
            self.complete.add(place)
        if is_true(new, "FailureTarget"):
            target = next(c["reason"] for c in new["status"]["conditions"] if c["type"] == "FailureTarget")
            self.failures[place] |= {target} & {"DeadlineExceeded"}
        if is_true(new, "Failed"):
            self.failed.add(place)
            why = next(c["reason"] for c in new["status"]["conditions"] if c["type"] == "Failed")
            self.failures[place] |= {why} if why == "DeadlineExceeded" else {"JobFailed", *self.ends[place]}

    def _note_pod(self, old: Document | None, new: Document) -> None:
        place = place_of(new)
        if life_of(old) != life_of(new):
            self.moved_at[place] = self.clock.now
        if state_of(new).get("waiting", {}).get("reason") == "InvalidImageName":
            self.failures[place].add("ImageUnavailable")  # waiting does not make the name valid
        if old is None:
            self.pods_made[place] += 1
            assert owner_of(new) not in self.hopeless_jobs, (
                "an error that trying again does not mend was tried again"
            )
        if not is_done(new) or (old and is_done(old)):
            return
        self._note_end(place, new)

    def _note_end(self, place: Place, pod: Document) -> None:
        end = state_of(pod).get("terminated") or {}
        if why := result_of(pod):
            self.ends[place].add(why)
        elif end and f'"uid": "{place[0]}"' in end["message"]:
            self.successes.add(place)
        else:
            self.failures[place].add("ResultMalformed")
        if result_of(pod) == "OutOfScratch":
            self.outgrown[place] += 1
            if self.outgrown[place] > Defaults().stage(place[1]).retries:
                self.failures[place].add("OutOfScratch")
        if end.get("exitCode") in USER_ERRORS and not is_true(pod, "DisruptionTarget"):
            self.hopeless_jobs.add(owner_of(pod))

    def note_deletion(self, job: Document) -> None:
        """Record that a user deleted a Job."""
        place = place_of(job)
        self.jobs_deleted[place] += 1
        if self.jobs_deleted[place] > 1:
            self.failures[place].add("JobDeleted")

    def note_refusal(self, job: Document, *, permanent: bool) -> None:
        """Record that a Job was refused."""
        place = place_of(job)
        self.refused_since.setdefault(place, self.clock.now)
        if permanent:
            self.failures[place].add("ResultMissing" if is_report(job) else "JobRejected")
