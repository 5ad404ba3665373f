"""The QlibShadowRun resources of the cluster, joined with the runs on the volume.

A run without a folder waits, was rejected, or its folder was removed; its resource says which.
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

FRESH_SECONDS: Final = 2.0
"""How long one list serves all pages."""
RETRY_SECONDS: Final = 15.0
"""How long the old list is shown after an API server did not answer, before it is asked again."""
NOT_RECONCILED: Final = "The operator has not processed it yet."
EXPLAINING_CONDITIONS: Final = ("Failed", "Complete", "Suspended")
"""The conditions that explain a run's state, the most important first."""


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
        """Parse a resource; None where it has no name or uid."""
        metadata, status = _mapping(document.get("metadata")), _mapping(document.get("status"))
        name, uid = text(metadata.get("name")), text(metadata.get("uid"))
        if not name or not uid:
            return None
        explanation = next(_explanations(status), {})
        return cls(
            name,
            text(metadata.get("namespace")) or "",
            uid,
            text(status.get("runId")),
            text(status.get("phase")) or "Pending",
            text(explanation.get("reason")),
            text(explanation.get("message")) or (None if status else NOT_RECONCILED),
            moment(metadata.get("creationTimestamp")),
        )

    @property
    def row(self) -> Row:
        """Return a row of the list of runs, for a resource without a run folder."""
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
    """The latest list, and why there is no newer one."""

    resources: Sequence[Resource] = ()
    fault: str | None = None


@dataclass
class ResourceListing:
    """The resources of one namespace, kept for some seconds."""

    api: RunApi
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _latest: ListedResources = field(default_factory=ListedResources)
    _until: float = float("-inf")

    def current(self) -> ListedResources:
        """Return the resources; when the cluster does not answer, those of its last answer."""
        with self._lock:
            if self.clock() >= self._until:
                self._latest = self._request()
                self._until = self.clock() + (RETRY_SECONDS if self._latest.fault else FRESH_SECONDS)
            return self._latest

    def _request(self) -> ListedResources:
        try:
            documents = self.api.resources()
        except UnreachableError as error:
            return ListedResources(self._latest.resources, str(error))
        return ListedResources([found for document in documents if (found := Resource.of(document))])


def join(rows: Sequence[Row], resources: Sequence[Resource]) -> list[Row]:
    """Return rows and resources in one list, newest first; each row has its resource, if there is one."""
    without_row = {resource.uid: resource for resource in resources}
    found = [{**row, "resource": without_row.pop(row["uid"], None), "folder": True} for row in rows]
    found += [{**one.row, "resource": one, "folder": False} for one in without_row.values()]
    return sorted(found, key=lambda row: (str(row["started_at"] or ""), row["run_id"]), reverse=True)


def _explanations(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what explains a run's state: the true conditions, then the latest stage with a message."""
    conditions = [*map(_mapping, _list(status.get("conditions")))]
    for kind in EXPLAINING_CONDITIONS:
        yield from (one for one in conditions if (one.get("type"), one.get("status")) == (kind, "True"))
    yield from (one for one in reversed([*map(_mapping, _list(status.get("stages")))]) if one.get("message"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
