"""Carry out a firing: look, decide, create, prune. Every step may be done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qlib_shadow_operator.kube.cluster import ClusterError, ConflictError
from qlib_shadow_operator.runs.decisions import Note
from qlib_shadow_operator.runs.names import LABEL_SCHEDULE, Phase
from qlib_shadow_operator.runs.reasons import EventReason
from qlib_shadow_operator.schedule.occasion import describe
from qlib_shadow_operator.schedule.plan import check_is_ours, plan, read_found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_operator.schedule.document import Schedule
    from qlib_shadow_operator.schedule.occasion import Occasion
    from qlib_shadow_operator.schedule.plan import Found, Plan


class Api(Protocol):
    """What is asked of the API server; see kube.cluster.Cluster."""

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a run."""

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """List runs."""

    def delete_run(self, run: Run) -> None:
        """Remove a run."""

    def post_event(self, run: Run, note: Note, now: datetime) -> None:
        """Tell what happened."""


def fire(api: Api, schedule: Schedule, occasion: Occasion, now: datetime) -> list[str]:
    """Do what is due, and say what was done."""
    runs = _list(api, occasion.namespace, label_selector=f"{LABEL_SCHEDULE}={schedule.name}")
    todo = plan(schedule, occasion, runs)
    said = [*_replace(api, todo), _create(api, schedule, occasion, todo)]
    if todo.blocked_by:
        said += _tell(api, todo.blocked_by.run, said[-1], now)
    for old in todo.prune:
        api.delete_run(old.run)
    return said + ([f"pruned {_names(todo.prune)}; artifacts stay"] if todo.prune else [])


def _list(api: Api, namespace: str, **selectors: str) -> list[Found]:
    try:
        return [read_found(raw) for raw in api.list_runs(namespace, **selectors)]
    except ConflictError as error:  # 404
        raise ClusterError("the CRD qlibshadowruns.qlibshadow.io is not installed") from error


def _replace(api: Api, todo: Plan) -> list[str]:
    for run in todo.replace:
        api.delete_run(run.run)
    return [f"deleted {_names(todo.replace)}, not finished; concurrencyPolicy is Replace"] * bool(
        todo.replace
    )


def _create(api: Api, schedule: Schedule, occasion: Occasion, todo: Plan) -> str:
    name = occasion.run_name(schedule.name)
    if todo.made:
        return f"run {name} was made already"
    if todo.blocked_by:
        other = todo.blocked_by.run
        return (
            f"run {name} was skipped: {other.name} of schedule {schedule.name} is not finished "
            f"({other.status.phase or Phase.PENDING}), and concurrencyPolicy is Forbid"
        )
    try:
        api.create_run(occasion.namespace, describe(schedule, occasion))
    except ConflictError as error:
        return _made_meanwhile(api, schedule, occasion, error)
    return f"made run {name}"


def _made_meanwhile(api: Api, schedule: Schedule, occasion: Occasion, error: ConflictError) -> str:
    """Look at who has the name: without the schedule's label, the list did not show it."""
    name = occasion.run_name(schedule.name)
    for found in _list(api, occasion.namespace, field_selector=f"metadata.name={name}"):
        check_is_ours(found, schedule, occasion)
        return f"run {name} was made already"
    raise error


def _tell(api: Api, run: Run, message: str, now: datetime) -> list[str]:
    """Leave word at the run that stands in the way; an Event is a courtesy, and its loss no failure."""
    try:
        api.post_event(run, Note(EventReason.SCHEDULE_SKIPPED, message, warning=True), now)
    except ClusterError as error:
        return [f"no Event could be posted: {error}"]
    return []


def _names(runs: Sequence[Found]) -> str:
    return ", ".join(one.run.name for one in runs)
