"""The cache of runs and their Jobs and Pods, filled by the watches. Reading it costs no API call."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qlib_shadow_operator.kube.parse import parse_job, parse_pod, parse_run, run_name_of
from qlib_shadow_operator.loop.compact import compact
from qlib_shadow_operator.runs.model import NOTHING, Job, Observed, Pod, Run
from qlib_shadow_operator.runs.names import LABEL_SCHEDULE, PURPOSE_RECOVERY
from qlib_shadow_runner.contract.escapes import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from qlib_shadow_runner.contract import Stage

KINDS: Final = ("runs", "jobs", "pods")
DELETED_KEPT_MAX: Final = 10_000
"""The number of deleted objects that are remembered, because a late answer may still contain one."""
DEFAULT_SERIES: Final = "default"
"""The series of runs that name neither a schedule nor a template."""


PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Run | Job | Pod]]] = {
    "runs": parse_run,
    "jobs": parse_job,
    "pods": parse_pod,
}


Series = tuple[str, str]
"""A namespace, and the schedule or template that runs share."""


class Key(NamedTuple):
    """The namespace and name of a run."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class CachedObject:
    """A cached object with its run's key and its version."""

    key: Key
    version: str
    value: Run | Job | Pod
    series: str = ""
    """What a run shares with the runs before and after it: its schedule, or else its template."""


def parse_object(kind: str, raw: Mapping[str, Any]) -> CachedObject | None:
    """Parse an object; return None if it belongs to no run."""
    meta = raw.get("metadata") or {}
    name = meta.get("name") if kind == "runs" else run_name_of(raw)
    if not name or not meta.get("uid"):
        return None
    key, version = Key(meta.get("namespace", ""), name), str(meta.get("resourceVersion", ""))
    return CachedObject(key, version, compact(PARSERS[kind](raw)), series_of(raw) if kind == "runs" else "")


def series_of(raw: Mapping[str, Any]) -> str:
    """Return the schedule of a run, or else its ConfigMap or template."""
    schedule = ((raw.get("metadata") or {}).get("labels") or {}).get(LABEL_SCHEDULE)
    workflow = (raw.get("spec") or {}).get("workflow") or {}
    own = (workflow.get("configMapRef") or {}).get("name")
    named = schedule or (f"configmap/{own}" if own else workflow.get("template") or DEFAULT_SERIES)
    return in_one_line(str(named))


@dataclass
class ClusterCache:
    """Objects by kind and uid, and by run. Threads read while the event loop writes."""

    default_claim: str = field(default="", compare=False)
    """The claim of runs that name none."""
    _objects: dict[str, dict[str, CachedObject]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _by_run: dict[Key, dict[str, set[str]]] = field(default_factory=dict)
    _deleted: dict[str, str] = field(default_factory=dict, compare=False)
    """The version at which an object was deleted, by uid; the latest ones only."""
    _books: set[tuple[str, str]] = field(default_factory=set, compare=False)
    """The namespaces and claims in which a run has told of its book; kept, since a book outlives its runs."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, kind: str, raw: Mapping[str, Any]) -> Key | None:
        """Store an object, unless this version or a newer one is known, and return its run's key."""
        if key := self._known(kind, raw):
            return key
        entry = parse_object(kind, raw)
        if entry is None:
            return self._lose(kind, raw)
        with self._lock:
            if self._is_newer(kind, entry):
                self._store(kind, entry)
        return entry.key

    def drop(self, kind: str, raw: Mapping[str, Any]) -> Key | None:
        """Remove a deleted object, and return its run's key."""
        entry = parse_object(kind, raw)
        if entry is None:
            return None
        with self._lock:
            self._remove(kind, entry.value.uid)
            self._deleted[entry.value.uid] = entry.version
            while len(self._deleted) > DELETED_KEPT_MAX:
                del self._deleted[next(iter(self._deleted))]
        return entry.key

    def _lose(self, kind: str, raw: Mapping[str, Any]) -> Key | None:
        """Remove an object whose label names no run any more, and return the key of the run that it had."""
        uid = (raw.get("metadata") or {}).get("uid", "")
        with self._lock:
            known = self._objects[kind].get(uid)
            self._remove(kind, uid)
        return known.key if known else None

    def drop_out_of_sight(self, key: Key, listed: Collection[str]) -> None:
        """Remove the pods of a run that no watch delivers and that are not listed any more."""
        with self._lock:
            gone = [pod for pod in self._of("pods", key) if isinstance(pod, Pod) and pod.out_of_sight]
            for pod in gone:
                if pod.uid not in listed:
                    self._remove("pods", pod.uid)

    def drop_job_out_of_sight(self, key: Key, name: str) -> None:
        """Remove a Job of a run that no watch delivers and that does not exist any more."""
        with self._lock:
            for job in self._of("jobs", key):
                if isinstance(job, Job) and job.out_of_sight and job.name == name:
                    self._remove("jobs", job.uid)

    def snapshot(self, kind: str) -> dict[str, CachedObject]:
        """Return all objects of a kind as they are known now."""
        with self._lock:
            return dict(self._objects[kind])

    def correct(
        self, kind: str, before: Mapping[str, CachedObject], raws: Iterable[Mapping[str, Any]]
    ) -> None:
        """Correct what the watch missed, from a full list and the snapshot taken before it was requested.

        Objects that changed after the snapshot are left alone: the watch has newer data.
        """
        listed = {e.value.uid: e for raw in raws if (e := _listed(kind, raw, before))}
        with self._lock:
            for uid, entry in before.items():
                if uid not in listed and self._objects[kind].get(uid) is entry:
                    self._remove(kind, uid)
            for uid, entry in listed.items():
                known = before.get(uid)
                unchanged = self._objects[kind].get(uid) is known
                if entry is not known and unchanged and self._is_newer(kind, entry):
                    self._store(kind, entry)

    def keys(self) -> list[Key]:
        """Return the keys of all runs."""
        with self._lock:
            return [entry.key for entry in self._objects["runs"].values()]

    def gather(self, key: Key) -> tuple[Run | None, Observed]:
        """Return a run and all that exists for it, without objects of an earlier run of the same name."""
        with self._lock:
            runs, jobs, pods = (self._of(kind, key) for kind in KINDS)
        run = max(
            (one for one in runs if isinstance(one, Run)), key=lambda one: not one.deleting, default=None
        )
        if run is None:
            return None, Observed()
        mine = [job for job in jobs if isinstance(job, Job) and job.owner_uid == run.uid]
        of_stages, recovery_jobs = _by_stage(mine, None), _by_stage(mine, PURPOSE_RECOVERY)
        return run, Observed(
            jobs=of_stages,
            pods=_pods_of(of_stages, pods),
            recovery_jobs=recovery_jobs,
            recovery_pods=_pods_of(recovery_jobs, pods),
            has_books=self._claim(key, run) in self._books,
        )

    def _known(self, kind: str, raw: Mapping[str, Any]) -> Key | None:
        """Return the key of an already cached version: the watch repeats the answers to our own calls."""
        meta = raw.get("metadata") or {}
        with self._lock:
            entry = self._objects[kind].get(meta.get("uid", ""))
        return entry.key if entry and entry.version and entry.version == meta.get("resourceVersion") else None

    def _is_newer(self, kind: str, entry: CachedObject) -> bool:
        """Return whether the entry is newer than what is known, which may be that the object is deleted."""
        uid = entry.value.uid
        known = self._objects[kind].get(uid)
        latest = known.version if known else self._deleted.get(uid)
        return latest is None or not _is_older(entry.version, latest)

    def _of(self, kind: str, key: Key) -> list[Run | Job | Pod]:
        uids = self._by_run.get(key, NOTHING).get(kind, ())
        return [self._objects[kind][uid].value for uid in uids]

    def _store(self, kind: str, entry: CachedObject) -> None:
        self._objects[kind][entry.value.uid] = entry
        if isinstance(entry.value, Run) and entry.value.status.ledger:
            self._books.add(self._claim(entry.key, entry.value))
        self._by_run.setdefault(entry.key, {}).setdefault(kind, set()).add(entry.value.uid)

    def _claim(self, key: Key, run: Run) -> tuple[str, str]:
        return key.namespace, run.spec.storage.claim_name or self.default_claim

    def _remove(self, kind: str, uid: str) -> None:
        entry = self._objects[kind].pop(uid, None)
        if entry is None:
            return
        of_run = self._by_run[entry.key]
        of_run[kind].discard(uid)
        if not any(of_run.values()):
            del self._by_run[entry.key]


def _by_stage(jobs: Iterable[Job], purpose: str | None) -> dict[Stage, Job]:
    return {job.stage: job for job in jobs if job.stage and job.purpose == purpose}


def _pods_of(jobs: Mapping[Stage, Job], pods: Iterable[Run | Job | Pod]) -> dict[Stage, tuple[Pod, ...]]:
    found: dict[Stage, tuple[Pod, ...]] = {}
    for pod in pods:
        if isinstance(pod, Pod) and pod.stage and pod.stage in jobs and pod.owner_uid == jobs[pod.stage].uid:
            found[pod.stage] = (*found.get(pod.stage, ()), pod)
    return found


def _is_older(one: str, other: str) -> bool:
    """Compare versions that are numbers, as on every API server so far."""
    return one.isdigit() and other.isdigit() and int(one) < int(other)


def _listed(kind: str, raw: Mapping[str, Any], before: Mapping[str, CachedObject]) -> CachedObject | None:
    """Return the listed object; a version that is already known is neither parsed nor held twice."""
    meta = raw.get("metadata") or {}
    known = before.get(meta.get("uid", ""))
    same = known is not None and known.version == str(meta.get("resourceVersion", ""))
    return known if same else parse_object(kind, raw)
