"""An API server in memory: objects with versions, a log of changes for the watches, and refusals.

Written from the rules of the Kubernetes API, not from the operator's code. Stored documents are never changed
in place: every change is a new document with a new version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from kubernetes.client.exceptions import ApiException

from qlib_shadow_operator.runs.names import LABEL_MANAGED_BY, LABEL_RUN_UID

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]
RUNS, JOBS, PODS = "runs", "jobs", "pods"
KINDS = (RUNS, JOBS, PODS)


class Change(NamedTuple):
    """One entry of a watch."""

    kind: str
    type: str
    document: Document


def refusal(status: int, message: str) -> ApiException:
    """Return the error for a refused request."""
    error = ApiException(status=status, reason="refused")
    error.body = json.dumps({"message": message})
    return error


def is_selected(document: Document, kind: str) -> bool:
    """Return whether the operator's watches select an object: runs all, others by their labels."""
    return kind == RUNS or {LABEL_MANAGED_BY, LABEL_RUN_UID} <= labels_of(document).keys()


def labels_of(document: Document) -> dict[str, str]:
    """Return an object's labels."""
    found: dict[str, str] = document["metadata"].get("labels") or {}
    return found


def first_labels(document: Document) -> dict[str, str]:
    """Return the labels that the operator gave a Job or Pod, which may have lost them."""
    if "template" in document["spec"]:
        found: dict[str, str] = document["spec"]["template"]["metadata"]["labels"]
        return found
    annotations: dict[str, str] = document["metadata"].get("annotations", {})
    was = {name.removeprefix("was-"): value for name, value in annotations.items() if name.startswith("was-")}
    return was | labels_of(document)


def merged(old: Any, change: Any) -> Any:
    """Return the result of an RFC 7386 merge patch."""
    if not isinstance(change, dict):
        return change
    base = old if isinstance(old, dict) else {}
    kept = {name: value for name, value in base.items() if name not in change}
    return kept | {name: merged(base.get(name), value) for name, value in change.items() if value is not None}


@dataclass
class ApiServer:
    """All objects, by kind and name; all are in one namespace."""

    clock: Callable[[], str]
    """Returns the time as it is written into objects."""
    on_change: Callable[[Document | None, Document, str], None]
    """Is called for each change with the old document, the new one and the kind."""
    objects: dict[str, dict[str, Document]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    log: dict[str, list[Change]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    version: int = 0
    made: int = 0
    warnings: dict[str, list[Document]] = field(default_factory=dict)
    """Events of type Warning, by the uid of the object that they are about."""
    policies: list[Document] = field(default_factory=list)
    job_refusal: ApiException | None = None
    """The answer to every new Job, while a quota is full or a policy forbids it."""

    def create(self, kind: str, body: Document) -> Document:
        """Create an object and return it."""
        if body["metadata"]["name"] in self.objects[kind]:
            raise refusal(409, "already exists")
        if kind == JOBS and self.job_refusal:
            raise self.job_refusal
        self.made += 1
        meta = {"uid": self._new_uid(), "generation": 1, "creationTimestamp": self.clock()}
        return self._store(kind, None, {**body, "metadata": body["metadata"] | meta}, "ADDED")

    def _new_uid(self) -> str:
        return str(UUID(int=self.made << 96 | 0xABC))

    def read(self, kind: str, name: str) -> Document:
        """Return an object."""
        if name not in self.objects[kind]:
            raise refusal(404, "not found")
        return self.objects[kind][name]

    def patch(self, kind: str, name: str, change: Document) -> Document:
        """Change an object and return it; a version or uid in the patch must be the object's own."""
        old = self.read(kind, name)
        told = change.get("metadata", {})
        if any(told[one] != old["metadata"][one] for one in ("resourceVersion", "uid") if one in told):
            raise refusal(409, "the object has been modified")
        marks = {part: told[part] for part in ("labels", "ownerReferences") if part in told}
        change = {part: value for part, value in change.items() if part != "metadata"}
        if marks:
            change["metadata"] = marks
        new = {**old, **{part: merged(old.get(part), change[part]) for part in change}}
        if new.get("spec") != old.get("spec"):
            new["metadata"] = {**new["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self.replace(kind, old, new)

    def replace(self, kind: str, old: Document, new: Document) -> Document:
        """Store a new version and return it; an equal document changes nothing, not even the version."""
        return old if new == old else self._store(kind, old, new, "MODIFIED")

    def set_status(self, kind: str, name: str, **fields: Any) -> Document:
        """Write a status, as a controller does."""
        old = self.read(kind, name)
        status = {k: v for k, v in {**old.get("status", {}), **fields}.items() if v is not None}
        return self.replace(kind, old, {**old, "status": status})

    def delete(self, kind: str, name: str, uid: str | None = None) -> Document:
        """Delete an object: at once, or marked while a finalizer or a container holds it."""
        old = self.read(kind, name)
        if uid is not None and uid != old["metadata"]["uid"]:
            raise refusal(409, "the uid in the precondition does not match")
        if kind == PODS and (old["metadata"].get("finalizers") or not has_ended(old)):
            meta = {"deletionTimestamp": self.clock()} | old["metadata"]
            return self.replace(kind, old, {**old, "metadata": meta})
        return self.remove(kind, name)

    def remove(self, kind: str, name: str) -> Document:
        """Remove an object from the store."""
        old = self.objects[kind].pop(name)
        self.version += 1
        gone = self._deletion(old)
        if is_selected(old, kind):
            self.log[kind].append(Change(kind, "DELETED", gone))
        return gone

    def _deletion(self, old: Document) -> Document:
        return {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}

    def _store(self, kind: str, old: Document | None, new: Document, change: str) -> Document:
        self.version += 1
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self.version)}}
        self.on_change(old, new, kind)
        self.objects[kind][new["metadata"]["name"]] = new
        was, is_now = old is not None and is_selected(old, kind), is_selected(new, kind)
        if is_now:
            self.log[kind].append(Change(kind, change if was else "ADDED", new))
        elif was and old is not None:  # for a watch by labels the object is gone
            self.log[kind].append(Change(kind, "DELETED", self._deletion(old)))
        return new

    def selected(self, kind: str) -> list[Document]:
        """Return the objects that the operator's lists contain."""
        return [one for one in self.objects[kind].values() if is_selected(one, kind)]

    def owned_by(self, kind: str, uid: str) -> list[Document]:
        """Return what an object owns, oldest first."""
        return [one for one in self.objects[kind].values() if owner_of(one) == uid]


def owner_of(document: Document) -> str | None:
    """Return the uid of an object's controller."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((str(one["uid"]) for one in owners if one.get("controller")), None)


def has_ended(pod: Document) -> bool:
    """Return whether a pod's containers have ended."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def is_true(document: Document, kind: str) -> bool:
    """Return whether a condition is True."""
    found = document.get("status", {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in found)
