"""The runs as the cluster tells of them, beside what they left on the volume.

Knows what a QlibShadowRun says of itself. A run without a folder waits, was refused, or was removed; its
resource says which.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.catalog.run_columns import COLUMNS
from qlib_shadow_runner.runs.values import moment, text
from qlib_shadow_runner.ui.api_server import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.ui.api_server import RunApi

FRESH: Final = 2.0
"""Seconds in which many open pages cost one question."""
PAUSE: Final = 15.0
"""Seconds until an API server that gave no answer is asked again; nobody waits for it meanwhile."""
UNSEEN: Final = "The operator has not looked at it yet."
TELLING: Final = ("Failed", "Complete", "Suspended")
"""Conditions by which a run's state is explained, the weightiest first."""


@dataclass(frozen=True)
class Resource:
    """One QlibShadowRun."""

    name: str
    namespace: str
    uid: str
    run_id: str | None
    phase: str
    reason: str | None
    message: str | None
    created: datetime | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self | None:
        """Read it; what has no name and uid is none."""
        metadata, status = _mapping(document.get("metadata")), _mapping(document.get("status"))
        name, uid = text(metadata.get("name")), text(metadata.get("uid"))
        if not name or not uid:
            return None
        said = next(_explanations(status), {})
        return cls(
            name,
            text(metadata.get("namespace")) or "",
            uid,
            text(status.get("runId")),
            text(status.get("phase")) or "Pending",
            text(said.get("reason")),
            text(said.get("message")) or (None if status else UNSEEN),
            moment(metadata.get("creationTimestamp")),
        )

    @property
    def row(self) -> Row:
        """Give it as a run of the list that has left nothing on the volume."""
        return {
            **dict.fromkeys(column.name for column in COLUMNS),
            "run_id": self.run_id or self.name,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
            "status": self.phase.lower(),
            "reason": self.reason,
            "message": self.message,
            "started_at": self.created,
        }


@dataclass(frozen=True)
class ListedResources:
    """What the cluster told last, and why there is nothing newer."""

    resources: Sequence[Resource] = ()
    fault: str | None = None


@dataclass
class ResourceListing:
    """The list of one namespace, asked for no more often than it is worth."""

    api: RunApi
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _resources: ListedResources = field(default_factory=ListedResources)
    _until: float = float("-inf")

    def current(self) -> ListedResources:
        """Give what is known; when the cluster does not answer, what it told before."""
        with self._lock:
            if self.clock() >= self._until:
                self._resources = self._asked()
                self._until = self.clock() + (PAUSE if self._resources.fault else FRESH)
            return self._resources

    def _asked(self) -> ListedResources:
        try:
            documents = self.api.resources()
        except UnreachableError as error:
            return ListedResources(self._resources.resources, str(error))
        return ListedResources([found for document in documents if (found := Resource.of(document))])


def together(rows: Sequence[Row], resources: Sequence[Resource]) -> list[Row]:
    """Put both into one list, newest first; each row has its resource, if there is one."""
    waiting = {resource.uid: resource for resource in resources}
    found = [{**row, "resource": waiting.pop(row["uid"], None), "folder": True} for row in rows]
    found += [{**one.row, "resource": one, "folder": False} for one in waiting.values()]
    return sorted(found, key=lambda row: (str(row["started_at"] or ""), row["run_id"]), reverse=True)


def _explanations(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give what explains a run's state: a condition that holds, else the stage that it is at."""
    conditions = [*map(_mapping, _list(status.get("conditions")))]
    for kind in TELLING:
        yield from (one for one in conditions if (one.get("type"), one.get("status")) == (kind, "True"))
    yield from (one for one in reversed([*map(_mapping, _list(status.get("stages")))]) if one.get("message"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
