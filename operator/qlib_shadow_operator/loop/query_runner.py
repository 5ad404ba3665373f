"""Runs the queries whose answers the cache lacks: one read each, in rare states only."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from qlib_shadow_operator.kube.cluster import ClusterError
from qlib_shadow_operator.kube.marks import belongs_to, job_with_marks, with_marks
from qlib_shadow_operator.kube.parse import parse_warning_event
from qlib_shadow_operator.loop.cluster_cache import Key
from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_operator.runs.network import egress_is_closed
from qlib_shadow_operator.runs.queries import (
    UNREAD,
    FindEgressPolicy,
    FindJob,
    FindPods,
    ReadJob,
    answer_lifetime,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_operator.loop.cluster_cache import ClusterCache
    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_operator.runs.queries import Query, WarningEvent

T = TypeVar("T")
U = TypeVar("U")

logger = logging.getLogger(__name__)

POLICIES_KEPT: Final = timedelta(minutes=1)
"""How long a NetworkPolicy that was found is trusted."""


class QueryApi(Protocol):
    """The calls of kube.cluster.Cluster that queries use."""

    def get_job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a Job, or None if there is none."""

    def list_pods(self, namespace: str, job: str) -> list[dict[str, Any]]:
        """Return the pods of a Job."""

    def list_warnings(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """Return the Events of type Warning about an object."""

    def list_network_policies(self, namespace: str) -> list[dict[str, Any]]:
        """Return the NetworkPolicies of a namespace."""


@dataclass
class QueryRunner:
    """Runs queries, and keeps what Events said for a while, because a waiting stage is reconciled often."""

    api: QueryApi
    cache: ClusterCache
    query_after: timedelta
    """How long a pod may take to start; an answer is good for some times as long."""
    _kept: dict[str, dict[Query, tuple[datetime, Any]]] = field(default_factory=dict)
    """Answers by uid of the run. Lost when the process ends, and then read again."""
    _policies: dict[str, tuple[datetime, list[dict[str, Any]]]] = field(default_factory=dict)
    """Policies by namespace: a hundred runs that start together need one answer."""

    def known(self, run: Run, now: datetime) -> dict[Query, Any]:
        """Return the answers that are not expired."""
        fresh = {
            query: (at, answer)
            for query, (at, answer) in self._kept.get(run.uid, {}).items()
            if now - at < answer_lifetime(answer, self.query_after)
        }
        if fresh:
            self._kept[run.uid] = fresh
        else:
            self._kept.pop(run.uid, None)
        return {query: answer for query, (_, answer) in fresh.items()}

    def ask(self, run: Run, query: Query, now: datetime) -> Any:
        """Return the answer; None if a read failed on which no failure depends."""
        if isinstance(query, FindJob):
            return self._find_job(run, query.name)
        if isinstance(query, ReadJob):
            return self._read_job(run, query.name)
        if isinstance(query, FindPods):
            return self._find_pods(run, query)
        if isinstance(query, FindEgressPolicy):
            return self._or_else(None, run, lambda: self._network_is_closed(run, query, now))
        answer = self._or_else(UNREAD, run, lambda: self._newest_warning(run, query.uid))
        self._kept.setdefault(run.uid, {})[query] = (now, answer)
        return answer

    def _or_else(self, unread: U, run: Run, look: Callable[[], T]) -> T | U:
        try:
            return look()
        except ClusterError as error:
            # An older Role may not allow this read; the run continues without it.
            logger.warning("a query failed: %s", error, extra={"run": f"{run.namespace}/{run.name}"})
            return unread

    def forget(self, uid: str) -> None:
        """Drop the answers of a deleted run."""
        self._kept.pop(uid, None)

    def _find_job(self, run: Run, name: str) -> bool:
        job = self.api.get_job(run.namespace, name)
        if job is None or not belongs_to(job, run.uid):
            return False
        self.cache.put("jobs", job)
        return True

    def _read_job(self, run: Run, name: str) -> bool:
        job = self.api.get_job(run.namespace, name)
        if job is not None and belongs_to(job, run.uid):
            self.cache.put("jobs", job_with_marks(job))
        else:
            self.cache.drop_job_out_of_sight(Key(run.namespace, run.name), name)
        return True

    def _find_pods(self, run: Run, query: FindPods) -> bool:
        wanted = child_labels(run.name, run.uid, query.stage, query.purpose)
        found = self.api.list_pods(run.namespace, run.job_name(query.stage, query.purpose))
        if query.purpose is None:
            key = Key(run.namespace, run.name)
            self.cache.drop_out_of_sight(key, {pod["metadata"]["uid"] for pod in found})
        for pod in found:
            self.cache.put("pods", with_marks(pod, wanted))
        return True

    def _newest_warning(self, run: Run, uid: str) -> WarningEvent | None:
        found = [parse_warning_event(raw) for raw in self.api.list_warnings(run.namespace, uid)]
        return max(found, key=lambda one: one.at, default=None)

    def _network_is_closed(self, run: Run, query: FindEgressPolicy, now: datetime) -> bool:
        labels = dict(query.labels)
        at, policies = self._policies.get(run.namespace, (now - POLICIES_KEPT, []))
        if now - at < POLICIES_KEPT and egress_is_closed(policies, labels):
            return True
        # A missing policy is looked for each time, because a user may be about to apply it.
        policies = self.api.list_network_policies(run.namespace)
        known = tuple(self._policies.items())  # copied at once: other threads ask at the same time
        self._policies = {name: one for name, one in known if now - one[0] < POLICIES_KEPT}
        self._policies[run.namespace] = (now, policies)
        return egress_is_closed(policies, labels)
