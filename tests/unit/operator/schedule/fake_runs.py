"""An API server that has only runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.kube.cluster import ConflictError

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.decisions import Event
    from qlib_shadow_operator.runs.model import Run

MINUTES = 29_914_501
"""2026-11-16T23:01Z, as a CronJob counts."""
ENVIRON = {
    "QLIB_SHADOW_SCHEDULE": "{name: nightly, run: {spec: {dataset: {source: {synthetic: {}}}}}}",
    "QLIB_SHADOW_NAMESPACE": "research",
    "QLIB_SHADOW_JOB": f"nightly-{MINUTES}",
    "QLIB_SHADOW_JOB_UID": "job-1",
}


@dataclass
class FakeRuns:
    """Runs by name."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    """By call; the error is raised after the call has had its effect."""
    clock: int = 0

    def _called(self, name: str, detail: str) -> None:
        self.calls.append(f"{name} {detail}")
        if name in self.faults:
            raise self.faults.pop(name)

    def put(self, name: str, *, ended: str | None = None, schedule: str = "nightly", **spec: Any) -> None:
        """Add a run that is younger than those before."""
        labels = {"qlibshadow.io/schedule": schedule}
        self._store({"metadata": {"name": name, "namespace": "research", "labels": labels}, "spec": spec})
        if ended:
            self.finish(name, ended)

    def finish(self, name: str, condition: str = "Complete") -> None:
        """Finish a run."""
        conditions = [{"type": condition, "status": "True"}]
        self.runs[name]["status"] = {"phase": condition, "conditions": conditions}

    def _store(self, body: dict[str, Any]) -> None:
        self.clock += 1
        name = body["metadata"]["name"]
        made = {"uid": f"uid-{name}", "creationTimestamp": f"2026-11-01T00:00:{self.clock:02}Z"}
        self.runs[name] = {**body, "metadata": {**body["metadata"], **made}}

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a run, if its name is free."""
        assert namespace == body["metadata"]["namespace"] == "research"
        name = body["metadata"]["name"]
        if name in self.runs:
            raise ConflictError(f'qlibshadowruns.qlibshadow.io "{name}" already exists')
        self._store(body)
        self._called("create", name)
        return self.runs[name]

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """Return runs by label or by name."""
        assert namespace == "research"
        [(kind, selector)] = selectors.items()
        self._called("list", selector)
        key, _, value = selector.partition("=")
        field_of = {
            "label_selector": lambda m: m.get("labels", {}).get(key),
            "field_selector": lambda m: m["name"],
        }
        return [run for run in self.runs.values() if field_of[kind](run["metadata"]) == value]

    def delete_run(self, run: Run) -> None:
        """Delete a run."""
        assert run.uid == f"uid-{run.name}"
        self.runs.pop(run.name, None)
        self._called("delete", run.name)

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Record an Event."""
        assert now.tzinfo
        self._called("event", run.name)
        self.events.append((run.name, str(note.reason), note.message))
