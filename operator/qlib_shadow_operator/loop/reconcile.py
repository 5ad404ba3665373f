"""One look at one run: gather, decide, apply. Blocking, so it runs in a thread; one thread per run at a time.

The status is written before anything is done: its resourceVersion proves that what was looked at is current,
a run's spec is frozen (by startTime) before its first Job exists, and a failure is on record before its
Job is stopped. Where nothing is to be written, a read proves it before a Job is made or a run is removed.
Whatever is lost in between is found missing at the next look.
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
    RefusedError,
)
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.kube.status_document import merge_patch, render_status
from qlib_shadow_operator.loop.cluster_cache import Key
from qlib_shadow_operator.loop.query_runner import QueryApi, QueryRunner
from qlib_shadow_operator.runs.decide import decide
from qlib_shadow_operator.runs.decisions import CreateJob, DeleteJob, DeleteRun, SetJobSuspended
from qlib_shadow_operator.runs.model import Rejection
from qlib_shadow_operator.runs.print_columns import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.loop.cluster_cache import ClusterCache
    from qlib_shadow_operator.runs.decisions import Action, Decision, Event
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Observed, Run, Status
    from qlib_shadow_runner.contract import Stage

logger = logging.getLogger(__name__)


class ReconcilerApi(QueryApi, Protocol):
    """What is asked of the API server; see kube.cluster.Cluster."""

    def get_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Read a run as it is now."""

    def create_job(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a Job, or give the one that has its name already."""

    def set_job_suspended(self, namespace: str, name: str, *, suspended: bool) -> dict[str, Any]:
        """Pause or resume a Job."""

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Remove a Job and its pods."""

    def patch_status(self, run: Run, change: dict[str, Any]) -> dict[str, Any]:
        """Change the status of exactly the version that was looked at."""

    def delete_run(self, run: Run) -> None:
        """Remove a run."""

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Tell what happened."""


def utc_now() -> datetime:
    """Look at the clock."""
    return datetime.now(UTC)


@dataclass
class Reconciler:
    """Looks at runs."""

    cache: ClusterCache
    api: ReconcilerApi
    defaults: Defaults
    clock: Callable[[], datetime] = utc_now
    changed: Callable[[Status, Status], None] = lambda _old, _new: None
    """Is told of each status that has landed."""
    posted: Callable[[str], None] = lambda _outcome: None
    """Is told of each Event."""
    _refusals: dict[str, dict[Stage, Rejection]] = field(default_factory=dict)
    """By uid of the run: why a stage's Job was last refused. Lost with the process, and found again."""
    _terminating: set[str] = field(default_factory=set)
    """Uids of runs whose namespace is being deleted."""

    def __post_init__(self) -> None:
        self._query_runner = QueryRunner(self.api, self.cache, self.defaults.query_after)

    def reconcile(self, key: Key) -> float | None:
        """Look at a run, and say in how many seconds to look again, if time alone can change it."""
        run, observed = self.cache.gather(key)
        if run is None or run.uid in self._terminating:
            return None
        now = self.clock()
        try:
            decision = self._decide(run, observed, now)
            self._apply(run, decision, now)
        except NamespaceTerminatingError as error:
            # The run goes with its namespace, in a moment; to try again would only make noise.
            logger.info("left alone: %s", error, extra=about(run, current_stage(run.status)))
            self._terminating.add(run.uid)
            return None
        if decision.requeue_at is None:
            return None
        return max((decision.requeue_at - now).total_seconds(), 0) + 1

    def _decide(self, run: Run, observed: Observed, now: datetime) -> Decision:
        """Decide; where it rests on what no cache tells, ask and decide again."""
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
            # The status tells of it already: no later look will find that it has just happened.
            self._post_events(run, decision, now)
            raise
        self._post_events(run, decision, now)

    def _write_status(self, run: Run, decision: Decision) -> bool:
        """Write what has changed, if anything; say whether that has proved the run to be current."""
        change = merge_patch(render_status(run.status), render_status(decision.status))
        if not change:
            return False
        self.cache.put("runs", self.api.patch_status(run, change))
        self.changed(run.status, decision.status)
        told = {**about(run, current_stage(decision.status)), "changed": sorted(change)}
        logger.info("%s: %s", decision.rule, decision.status.phase, extra=told)
        return True

    def _prove_current(self, run: Run) -> None:
        """Look first: a late cache knows neither of a Job that ended and was deleted, nor of a new TTL."""
        raw = self.api.get_run(run.namespace, run.name)
        self.cache.put("runs", raw)
        found = parse_run(raw)
        if (found.uid, found.resource_version) != (run.uid, run.resource_version):
            raise ConflictError(f"the run {run.name} has changed since it was looked at")

    def _act(self, run: Run, action: Action) -> None:
        if isinstance(action, CreateJob):
            self._create(run, action)
        elif isinstance(action, SetJobSuspended):
            job = self.api.set_job_suspended(run.namespace, action.name, suspended=action.suspended)
            self.cache.put("jobs", job)
        elif isinstance(action, DeleteJob):
            self.api.delete_job(run.namespace, action.name, action.uid)
        else:
            self.api.delete_run(run)
        stage = current_stage(run.status) if isinstance(action, DeleteRun) else str(action.stage)
        logger.info("%s done", type(action).__name__, extra=about(run, stage))

    def _create(self, run: Run, action: CreateJob) -> None:
        try:
            job = self.api.create_job(run.namespace, action.body)
        except RefusedError as error:
            self._refusals.setdefault(run.uid, {})[action.stage] = Rejection(str(error), error.permanent)
            raise
        self._refusals.pop(run.uid, None)
        self.cache.put("jobs", job)

    def _post_events(self, run: Run, decision: Decision, now: datetime) -> None:
        for note in decision.notes:
            self._post(run, note, now)

    def _post(self, run: Run, note: Event, now: datetime) -> None:
        try:
            self.api.post_event(run, note, now)
        except NamespaceTerminatingError:
            raise
        except ClusterError as error:
            # The status says it all; an Event is a courtesy.
            self.posted("failed")
            logger.warning(
                "an Event could not be posted: %s", error, extra=about(run, current_stage(run.status))
            )
        else:
            self.posted("posted")

    def about(self, key: Key) -> dict[str, str]:
        """Say what is known of a run that could not be looked at."""
        run, _ = self.cache.gather(key)
        if run is None:
            return {"run": f"{key.namespace}/{key.name}", "stage": NONE}
        return about(run, current_stage(run.status))

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a run that is gone."""
        self._refusals.pop(uid, None)
        self._terminating.discard(uid)
        self._query_runner.forget(uid)


def about(run: Run, stage: str) -> dict[str, str]:
    """Say, in a line of the log, what it is about."""
    return {"run": f"{run.namespace}/{run.name}", "runId": run.run_id, "stage": stage}


def current_stage(status: Status) -> str:
    """Name the stage that a run is in; before and after all of them, NONE."""
    return status.summary.get("stage", NONE)
