"""One reconcile pass over one run: gather, decide, apply. It blocks, so it runs in a thread, one per run.

The status is written before any action. Its resourceVersion proves that the cached run is current; the spec
is frozen (by startTime) before the first Job exists; a failure is recorded before its Job is stopped. If the
status does not change, a read proves it instead. The next pass repeats what was lost in between.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from qlib_shadow_operator.kube.cluster import (
    ClusterError,
    ConflictError,
    NamespaceTerminatingError,
    NameTakenError,
    RefusedError,
)
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.kube.status_document import merge_patch, render_status
from qlib_shadow_operator.loop.cluster_cache import Key, series_of
from qlib_shadow_operator.loop.query_runner import QueryApi, QueryRunner
from qlib_shadow_operator.runs.decide import decide
from qlib_shadow_operator.runs.decisions import CreateJob, DeleteJob, DeleteRun, SetJobSuspended
from qlib_shadow_operator.runs.model import Rejection
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_operator.runs.print_columns import NONE
from qlib_shadow_operator.runs.reasons import EventReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Series
    from qlib_shadow_operator.runs.decisions import Action, Decision, Event
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Observed, Run, Status
    from qlib_shadow_runner.contract import Stage

logger = logging.getLogger(__name__)


class ReconcilerApi(QueryApi, Protocol):
    """The calls of kube.cluster.Cluster that reconciling uses."""

    def get_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a run as it is now."""

    def create_job(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a Job and return it, or return the existing one of that name."""

    def set_job_suspended(self, namespace: str, name: str, *, suspended: bool) -> dict[str, Any]:
        """Suspend or resume a Job, and return it."""

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job and its pods."""

    def patch_status(self, run: Run, change: dict[str, Any]) -> dict[str, Any]:
        """Patch the status of exactly the version that was read."""

    def delete_run(self, run: Run) -> None:
        """Delete a run."""

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Post an Event about a run."""


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


@dataclass
class Reconciler:
    """Reconciles runs."""

    cache: ClusterCache
    api: ReconcilerApi
    defaults: Defaults
    clock: Callable[[], datetime] = utc_now
    changed: Callable[[Series, Status, Status], None] = lambda _series, _old, _new: None
    """Is called after each status update with the run's series, the old and the new status."""
    posted: Callable[[str], None] = lambda _outcome: None
    """Is called for each Event with its outcome."""
    _refusals: dict[str, dict[Stage, Rejection]] = field(default_factory=dict)
    """Why a stage's Job was last not created, suspended or resumed, by uid of the run.

    Lost and found again when the process restarts.
    """
    _terminating: set[str] = field(default_factory=set)
    """Uids of runs whose namespace is being deleted."""

    def __post_init__(self) -> None:
        self._query_runner = QueryRunner(self.api, self.cache, self.defaults.query_after)

    def reconcile(self, key: Key) -> float | None:
        """Reconcile a run; return the seconds until the next pass if time alone can change it."""
        run, observed = self.cache.gather(key)
        if run is None or run.uid in self._terminating:
            return None
        now = self.clock()
        try:
            decision = self._decide(run, observed, now)
            self._apply(run, decision, now)
        except NamespaceTerminatingError as error:
            # The run is deleted with its namespace in a moment; retrying would only fill the log.
            logger.info("the run is left alone: %s", error, extra=about(run, current_stage(run.status)))
            self._terminating.add(run.uid)
            return None
        if decision.requeue_at is None:
            return None
        return max((decision.requeue_at - now).total_seconds(), 0) + 1

    def _decide(self, run: Run, observed: Observed, now: datetime) -> Decision:
        """Return the decision; run the queries that it needs, and decide again with their answers."""
        answers = self._query_runner.known(run, now)
        while True:
            refusals = self._refusals.get(run.uid, {})
            seen = replace(observed, rejections=refusals, answers=answers)
            decision = decide(run, seen, self.defaults, now)
            if not decision.queries:
                return decision
            answers |= {one: self._query_runner.ask(run, one, now) for one in decision.queries}
            observed = self.cache.gather(Key(run.namespace, run.name))[1]

    def _apply(self, run: Run, decision: Decision, now: datetime) -> None:
        is_current = self._write_status(run, decision)
        try:
            for action in decision.actions:
                if isinstance(action, CreateJob | DeleteRun) and not is_current:
                    self._prove_current(run)
                self._act(run, action)
        except NamespaceTerminatingError:
            raise
        except ClusterError:
            # The status has the change already, so no later pass would post these Events.
            self._post_events(run, decision, now, failed=True)
            raise
        if not any(isinstance(action, CreateJob | SetJobSuspended) for action in decision.actions):
            self._refusals.pop(run.uid, None)  # what was refused is wanted no more, or was done by another
        self._post_events(run, decision, now)

    def _write_status(self, run: Run, decision: Decision) -> bool:
        """Write what has changed; return whether that proved that the cached run is current."""
        change = merge_patch(render_status(run.status), render_status(decision.status))
        if not change:
            return False
        answer = self.api.patch_status(run, change)
        self.cache.put("runs", answer)
        self.changed((run.namespace, series_of(answer)), run.status, decision.status)
        _log_change(run, decision, sorted(change))
        return True

    def _prove_current(self, run: Run) -> None:
        """Read the run first: a late cache misses a Job that ended and was deleted, or a new TTL."""
        raw = self.api.get_run(run.namespace, run.name)
        self.cache.put("runs", raw)
        found = parse_run(raw)
        if (found.uid, found.resource_version) != (run.uid, run.resource_version):
            raise ConflictError(f"the run {run.name} has changed since it was read")

    def _act(self, run: Run, action: Action) -> None:
        if isinstance(action, CreateJob | SetJobSuspended):
            self._change_job(run, action)
        elif isinstance(action, DeleteJob):
            self.api.delete_job(run.namespace, action.name, action.uid)
        else:
            self.api.delete_run(run)
        stage = current_stage(run.status) if isinstance(action, DeleteRun) else str(action.stage)
        logger.info("%s", _done(action), extra=about(run, stage))

    def _change_job(self, run: Run, action: CreateJob | SetJobSuspended) -> None:
        """Create, suspend or resume a Job; remember why if that was refused or could not be done."""
        try:
            if isinstance(action, CreateJob):
                job = self.api.create_job(run.namespace, action.body)
            else:
                job = self.api.set_job_suspended(run.namespace, action.name, suspended=action.suspended)
        except (ConflictError, NamespaceTerminatingError):
            raise
        except RefusedError as error:
            taken = isinstance(error, NameTakenError)
            self._refuse(run, action, Rejection(str(error), error.permanent, name_taken=taken))
            raise
        except ClusterError as error:
            # A webhook that hangs may keep the API server from answering in time.
            self._refuse(run, action, Rejection(str(error), server_failed=True))
            raise
        self._refusals.pop(run.uid, None)
        self.cache.put("jobs", job)

    def _refuse(self, run: Run, action: CreateJob | SetJobSuspended, rejection: Rejection) -> None:
        told = replace(rejection, of_a_change=isinstance(action, SetJobSuspended))
        self._refusals.setdefault(run.uid, {})[action.stage] = told

    def _post_events(self, run: Run, decision: Decision, now: datetime, *, failed: bool = False) -> None:
        for note in decision.notes:
            if not (failed and note.reason == EventReason.STAGE_STARTED):  # it is posted once there is a Job
                self._post(run, note, now)

    def _post(self, run: Run, note: Event, now: datetime) -> None:
        try:
            self.api.post_event(run, note, now)
        except NamespaceTerminatingError:
            raise
        except ClusterError as error:
            # The status has the same text; an Event is optional.
            self.posted("failed")
            logger.warning(
                "an Event could not be posted: %s", error, extra=about(run, current_stage(run.status))
            )
        else:
            self.posted("posted")

    def about(self, key: Key) -> dict[str, str]:
        """Return log fields for a run that could not be reconciled."""
        run, _ = self.cache.gather(key)
        if run is None:
            return {"run": f"{key.namespace}/{key.name}", "stage": NONE}
        return about(run, current_stage(run.status))

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a deleted run."""
        self._refusals.pop(uid, None)
        self._terminating.discard(uid)
        self._query_runner.forget(uid)


def about(run: Run, stage: str) -> dict[str, str]:
    """Return the log fields of a run."""
    return {"run": f"{run.namespace}/{run.name}", "runId": run.run_id, "stage": stage}


def _log_change(run: Run, decision: Decision, changed: list[str]) -> None:
    """Log a status change, with the reason and its sentence where the run has failed or a stage has one."""
    status = decision.status
    stage = current_stage(status)
    failure = status.condition(ConditionType.FAILED)
    holder = (
        failure if failure and failure.status else next((s for s in status.stages if s.name == stage), None)
    )
    fields: dict[str, Any] = {**about(run, stage), "changed": changed}
    text = f"{decision.rule}: {status.phase}"
    if holder and holder.reason and holder.message:
        fields["reason"] = str(holder.reason)
        text = f"{text}: {holder.reason}: {holder.message}"
    logger.info("%s", text, extra=fields)  # no warning: a run that fails is no trouble of the operator


def _done(action: Action) -> str:
    """Return what an action has brought about."""
    if isinstance(action, CreateJob):
        return f"the Job {action.body['metadata']['name']} exists now"
    if isinstance(action, SetJobSuspended):
        return f"the Job {action.name} is {'suspended' if action.suspended else 'resumed'}"
    return "the run is deleted" if isinstance(action, DeleteRun) else f"the Job {action.name} is deleted"


def current_stage(status: Status) -> str:
    """Return the stage that a run is in; NONE before and after all of them."""
    return status.summary.get("stage", NONE)
