"""Plan a firing from the existing runs of its schedule. Pure, and the same at every retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.kube.parse import LONG_AGO, parse_run
from qlib_shadow_operator.kube.times import read_time
from qlib_shadow_operator.runs.names import ANNOTATION_JOB_UID, LABEL_SCHEDULE
from qlib_shadow_operator.schedule.parse_schedule import Concurrency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_operator.schedule.firing import Firing
    from qlib_shadow_operator.schedule.parse_schedule import Schedule


class NameTakenError(ValueError):
    """The run's name belongs to another run; retrying does not help."""


@dataclass(frozen=True)
class ExistingRun:
    """A run that exists."""

    run: Run
    created_at: datetime
    schedule: str | None
    job_uid: str | None
    spec: Mapping[str, Any]

    @property
    def unfinished(self) -> bool:
        """Whether it may still start Jobs. A suspended run counts, as a suspended Job does for a CronJob."""
        return not self.run.status.finished and not self.run.deleting


def parse_existing_run(raw: Mapping[str, Any]) -> ExistingRun:
    """Return a run as the API server lists it."""
    meta = raw["metadata"]
    return ExistingRun(
        run=parse_run(raw),
        created_at=read_time(meta.get("creationTimestamp")) or LONG_AGO,
        schedule=(meta.get("labels") or {}).get(LABEL_SCHEDULE),
        job_uid=(meta.get("annotations") or {}).get(ANNOTATION_JOB_UID),
        spec=raw.get("spec") or {},
    )


@dataclass(frozen=True)
class FiringPlan:
    """The steps of a firing, in order. Nothing is created if the run exists or another one blocks it."""

    made: ExistingRun | None = None
    blocked_by: ExistingRun | None = None
    replace: tuple[ExistingRun, ...] = ()
    prune: tuple[ExistingRun, ...] = ()

    @property
    def creates(self) -> bool:
        """Whether a run is created."""
        return self.made is None and self.blocked_by is None


def plan(schedule: Schedule, firing: Firing, runs: Iterable[ExistingRun]) -> FiringPlan:
    """Return the plan; a run that an earlier try created does not block itself."""
    newest_first = sorted(runs, key=lambda one: (one.created_at, one.run.name), reverse=True)
    name = firing.run_name(schedule.name)
    prune = tuple([one for one in newest_first if one.run.status.finished][schedule.keep_finished :])
    made = next((one for one in newest_first if one.run.name == name), None)
    if made:
        check_is_ours(made, schedule, firing)
        return FiringPlan(made=made, prune=tuple(one for one in prune if one is not made))
    unfinished = tuple(one for one in newest_first if one.unfinished)
    if unfinished and schedule.concurrency is Concurrency.FORBID:
        return FiringPlan(blocked_by=unfinished[0], prune=prune)
    return FiringPlan(replace=unfinished if schedule.concurrency is Concurrency.REPLACE else (), prune=prune)


def check_is_ours(found: ExistingRun, schedule: Schedule, firing: Firing) -> None:
    """Raise a NameTakenError unless this Job created the run, or it has the same time and spec."""
    name = found.run.name
    if found.schedule != schedule.name:
        raise NameTakenError(
            f"a run {name} exists already and is not of this schedule; delete or rename one of them"
        )
    if found.job_uid == firing.job_uid:
        return
    if firing.due(schedule.name) is None:
        raise NameTakenError(
            f"the run {name} exists already, from an earlier Job of that name; give the Job another name"
        )
    if found.spec != schedule.spec:
        raise NameTakenError(
            f"the run {name} exists already, with another spec; delete it to repeat the run of this time"
        )
