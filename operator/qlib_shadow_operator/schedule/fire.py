"""Carry out a firing: list, decide, create, prune. Every step may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qlib_shadow_operator.kube.cluster import ClusterError, ConflictError
from qlib_shadow_operator.runs.decisions import Event
from qlib_shadow_operator.runs.names import LABEL_SCHEDULE, Phase
from qlib_shadow_operator.runs.reasons import EventReason
from qlib_shadow_operator.schedule.firing import describe
from qlib_shadow_operator.schedule.firing_plan import check_is_ours, parse_existing_run, plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_operator.schedule.firing import Firing
    from qlib_shadow_operator.schedule.firing_plan import ExistingRun, FiringPlan
    from qlib_shadow_operator.schedule.parse_schedule import Schedule


class FiringApi(Protocol):
    """The calls of kube.cluster.Cluster that a firing uses."""

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a run."""

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """Return the runs that match the selectors."""

    def delete_run(self, run: Run) -> None:
        """Delete a run."""

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Post an Event about a run."""


def fire(api: FiringApi, schedule: Schedule, firing: Firing, now: datetime) -> list[str]:
    """Carry out the firing, and return what was done."""
    runs = _list(api, firing.namespace, label_selector=f"{LABEL_SCHEDULE}={schedule.name}")
    todo = plan(schedule, firing, runs)
    said = [*_replace(api, todo), _create(api, schedule, firing, todo)]
    if todo.blocked_by:
        said += _post_skipped(api, todo.blocked_by.run, said[-1], now)
    for old in todo.prune:
        api.delete_run(old.run)
    return said + ([f"pruned {_names(todo.prune)}; artifacts stay"] if todo.prune else [])


def _list(api: FiringApi, namespace: str, **selectors: str) -> list[ExistingRun]:
    try:
        return [parse_existing_run(raw) for raw in api.list_runs(namespace, **selectors)]
    except ConflictError as error:  # 404
        raise ClusterError("the CRD qlibshadowruns.qlibshadow.io is not installed") from error


def _replace(api: FiringApi, todo: FiringPlan) -> list[str]:
    for run in todo.replace:
        api.delete_run(run.run)
    return [f"deleted {_names(todo.replace)}, not finished; concurrencyPolicy is Replace"] * bool(
        todo.replace
    )


def _create(api: FiringApi, schedule: Schedule, firing: Firing, todo: FiringPlan) -> str:
    name = firing.run_name(schedule.name)
    if todo.made:
        return f"run {name} exists already"
    if todo.blocked_by:
        other = todo.blocked_by.run
        return (
            f"run {name} was skipped: {other.name} of schedule {schedule.name} is not finished "
            f"({other.status.phase or Phase.PENDING}), and concurrencyPolicy is Forbid"
        )
    try:
        api.create_run(firing.namespace, describe(schedule, firing))
    except ConflictError as error:
        return _created_by_another_try(api, schedule, firing, error)
    return f"created run {name}"


def _created_by_another_try(api: FiringApi, schedule: Schedule, firing: Firing, error: ConflictError) -> str:
    """Check the run that has the name: without the schedule's label, the list did not contain it."""
    name = firing.run_name(schedule.name)
    for found in _list(api, firing.namespace, field_selector=f"metadata.name={name}"):
        check_is_ours(found, schedule, firing)
        return f"run {name} exists already"
    raise error


def _post_skipped(api: FiringApi, run: Run, message: str, now: datetime) -> list[str]:
    """Post an Event at the blocking run; the firing succeeds even if the Event is lost."""
    try:
        api.post_event(run, Event(EventReason.SCHEDULE_SKIPPED, message, warning=True), now)
    except ClusterError as error:
        return [f"no Event could be posted: {error}"]
    return []


def _names(runs: Sequence[ExistingRun]) -> str:
    return ", ".join(one.run.name for one in runs)
