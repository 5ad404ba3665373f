"""One reconcile pass with a fake API server: what is written, in which order, and what a failure leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.builders import NOW, UID, result
from tests.unit.operator.documents import MADE, a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.kube.cluster import (
    ClusterError,
    ConflictError,
    NamespaceTerminatingError,
    RefusedError,
)
from qlib_shadow_operator.kube.marks import job_with_marks
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_operator.loop.reconcile import Reconciler
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.decisions import Event
    from qlib_shadow_operator.runs.model import Run

KEY = Key("research", "demo")
COMPLETED = {
    "type": "Complete",
    "status": "True",
    "reason": "RunComplete",
    "message": "",
    "lastTransitionTime": MADE,
    "observedGeneration": 1,
}


@dataclass
class FakeApi:
    """Records calls, and holds one run and its Jobs."""

    run: dict[str, Any] = field(default_factory=lambda: a_run_document(1))
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    version: int = 100
    deletions: int = 0

    def _called(self, name: str, detail: str = "") -> None:
        self.calls.append(f"{name} {detail}".strip())
        if name in self.faults:
            raise self.faults[name]

    def get_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the run."""
        self._called("get_run", f"{namespace}/{name}")
        return self.run

    def create_job(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a Job, or return the existing one."""
        name = body["metadata"]["name"]
        self._called("create_job", f"{namespace}/{name}")
        self.version += 1
        meta = {
            **body["metadata"],
            "uid": f"{name}{self.deletions or ''}",
            "resourceVersion": str(self.version),
            "creationTimestamp": MADE,
        }
        return job_with_marks(self.jobs.setdefault(name, {**body, "metadata": meta}))

    def get_job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a Job, or None."""
        self._called("get_job", f"{namespace}/{name}")
        return self.jobs.get(name)

    def list_pods(self, namespace: str, job: str) -> list[dict[str, Any]]:
        """Return the pods of a Job."""
        self._called("list_pods", f"{namespace}/{job}")
        return self.pods

    def list_warnings(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """Return the warnings."""
        self._called("list_warnings", f"{namespace}/{uid}")
        return self.warnings

    def list_network_policies(self, namespace: str) -> list[dict[str, Any]]:
        """Return the policies."""
        self._called("list_network_policies", namespace)
        return self.policies

    def set_job_suspended(self, namespace: str, name: str, *, suspended: bool) -> dict[str, Any]:
        """Return the Job, suspended or resumed."""
        self._called("set_job_suspended", f"{namespace}/{name} {suspended}")
        self.version += 1
        job = self.jobs[name]
        meta = {**job["metadata"], "resourceVersion": str(self.version)}
        self.jobs[name] = {**job, "metadata": meta, "spec": {**job["spec"], "suspend": suspended}}
        return self.jobs[name]

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Record the deletion of a Job."""
        self._called("delete_job", f"{namespace}/{name} {uid}")

    def patch_status(self, run: Run, change: dict[str, Any]) -> dict[str, Any]:
        """Merge a status change."""
        self._called("patch_status", run.resource_version)
        self.version += 1
        status = {k: v for k, v in {**self.run.get("status", {}), **change}.items() if v is not None}
        meta = {**self.run["metadata"], "resourceVersion": str(self.version)}
        self.run = {**self.run, "metadata": meta, "status": status}
        return self.run

    def delete_run(self, run: Run) -> None:
        """Record the deletion of the run."""
        self._called("delete_run", run.name)

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Record an Event."""
        assert (run.name, now.tzinfo) == ("demo", UTC)
        self._called("post_event", str(note.reason))


@dataclass
class World:
    """A fake API server, a cache and a reconciler."""

    api: FakeApi = field(default_factory=FakeApi)
    cache: ClusterCache = field(default_factory=ClusterCache)
    minutes: float = 0

    def look(self) -> float | None:
        """Reconcile once, after clearing the recorded calls."""
        self.api.calls.clear()
        clock = lambda: NOW + timedelta(minutes=self.minutes)  # noqa: E731
        self.reconciler = getattr(self, "reconciler", None) or Reconciler(
            self.cache, self.api, Defaults(), clock
        )
        self.reconciler.clock = clock
        return self.reconciler.reconcile(KEY)


@pytest.fixture
def world() -> World:
    """Return a world with a run that was just applied."""
    world = World()
    world.cache.put("runs", world.api.run)
    return world


def test_a_new_run_costs_three_calls(world: World):
    """The status first: it freezes the spec and proves that the cache is current."""
    world.look()
    assert world.api.calls == [
        "patch_status 1",
        "create_job research/demo-a1b2c3d4-download",
        "post_event StageStarted",
    ]


def test_unchanged_run_costs_no_call(world: World):
    """The cache has the writes' answers; a new Job's uid is written only once the start is late."""
    world.look()
    again = world.look()
    assert world.api.calls == []
    assert again == 21
    world.minutes = 0.4
    world.look()
    assert world.api.calls == ["list_warnings research/demo-a1b2c3d4-download", "patch_status 101"]
    world.look()
    assert world.api.calls == []


def test_conflict_stops_the_pass_before_any_action(world: World):
    """The run was changed since it was read."""
    world.api.faults["patch_status"] = ConflictError("changed")
    with pytest.raises(ConflictError):
        world.look()
    assert world.api.calls == ["patch_status 1"]


def test_next_pass_completes_after_a_crash(world: World):
    """The Job is found missing."""
    world.api.faults["create_job"] = ClusterError("gone away")
    with pytest.raises(ClusterError):
        world.look()
    world.api.faults.clear()
    other = World(api=world.api)
    other.cache.put("runs", world.api.run)
    other.look()
    assert other.api.calls == ["get_run research/demo", "create_job research/demo-a1b2c3d4-download"]


def test_second_operator_changes_nothing(world: World):
    """The Job exists already, under the same name."""
    world.look()
    other = World(api=world.api)
    other.cache.put("runs", world.api.run)  # its cache does not have the Job yet
    other.look()
    assert other.api.calls == ["get_run research/demo", "create_job research/demo-a1b2c3d4-download"]
    assert len(world.api.jobs) == 1


def the_download_runs(world: World) -> dict[str, Any]:
    """Reconcile until the first stage's pod runs."""
    world.look()
    world.cache.put("jobs", world.api.jobs[the_download(world)])
    running = a_pod_document(501, phase="Running", **_state({"running": {"startedAt": MADE}}))
    running["metadata"]["ownerReferences"][0]["uid"] = world.api.jobs[the_download(world)]["metadata"]["uid"]
    world.cache.put("pods", running)
    world.look()
    assert world.api.run["status"]["stages"][0]["state"] == "Running"
    return running


@pytest.mark.parametrize("heard", [True, False], ids=["heard of the pod", "did not hear of it"])
def test_late_cache_counts_no_attempt(world: World, *, heard: bool):
    """It knows from the status that the pod runs, but its cache has no such pod: it queries once."""
    running = the_download_runs(world)
    other = World(api=world.api)
    other.cache.put("runs", world.api.run)
    other.cache.put("jobs", world.api.jobs[the_download(world)])
    if heard:
        late = {**running, "metadata": {**running["metadata"], "resourceVersion": "500"}, "status": {}}
        other.cache.put("pods", late)
    world.api.pods = [running]
    other.look()
    assert other.api.calls == ["list_pods research/demo-a1b2c3d4-download"]
    other.look()
    assert other.api.calls == []
    assert world.api.run["status"]["stages"][0]["attempts"] == 1


def test_vanished_attempt_is_counted_after_a_query(world: World):
    """Without an answer, nothing is counted."""
    world.cache.drop("pods", the_download_runs(world))
    world.api.faults["list_pods"] = ClusterError("the API server does not answer")
    with pytest.raises(ClusterError):
        world.look()
    assert world.api.run["status"]["stages"][0]["attempts"] == 1
    world.api.faults.clear()
    world.look()
    assert world.api.calls[0] == "list_pods research/demo-a1b2c3d4-download"
    assert world.api.run["status"]["stages"][0]["attempts"] == 2


def test_late_cache_creates_no_job_for_a_finished_run(world: World):
    """It knows that the Job is gone, but not that the run has failed."""
    world.look()
    other = World(api=world.api)
    other.cache.put("runs", world.api.run)
    world.minutes = 40
    world.look()
    assert world.api.run["status"]["phase"] == "Failed"
    with pytest.raises(ConflictError, match="the run demo has changed since it was read"):
        other.look()
    assert other.api.calls == ["get_run research/demo"]
    other.look()  # the read has shown the failure
    assert "create_job" not in " ".join(other.api.calls)


def test_failed_event_is_not_an_error(world: World):
    """The status has the same text."""
    world.api.faults["post_event"] = ClusterError("busy")
    world.look()
    world.look()
    world.look()
    assert world.api.calls == []


def test_refusal_is_in_the_status_until_it_passes(world: World):
    """The quota is full, then it is not."""
    world.api.faults["create_job"] = RefusedError("exceeded quota")
    for _ in range(2):
        with pytest.raises(RefusedError):
            world.look()
    stage = world.api.run["status"]["stages"][0]
    assert (stage["state"], stage["reason"]) == ("Waiting", "QuotaExceeded")
    assert stage["message"].startswith(
        'a ResourceQuota of namespace "research" leaves no room: exceeded quota.'
    )
    with pytest.raises(RefusedError):
        world.look()
    assert world.api.calls == ["get_run research/demo", "create_job research/demo-a1b2c3d4-download"]
    world.api.faults.clear()
    world.look()
    world.look()
    assert world.api.run["status"]["stages"][0]["state"] == "Starting"
    assert world.api.calls[-1] == "post_event StageStarted"


@pytest.mark.parametrize("fault", [RefusedError("exceeded quota"), ClusterError("it does not answer")])
def test_stage_whose_job_is_not_known_is_not_said_to_start(world: World, fault: ClusterError):
    """It starts once there is a Job."""
    world.api.faults["create_job"] = fault
    with pytest.raises(ClusterError):
        world.look()
    assert world.api.calls == ["patch_status 1", "create_job research/demo-a1b2c3d4-download"]


def test_permanently_refused_job_fails_the_run(world: World):
    """For example when its resources contradict each other."""
    world.api.faults["create_job"] = RefusedError(
        "must be less than or equal to memory limit", permanent=True
    )
    with pytest.raises(RefusedError):
        world.look()
    world.look()
    assert world.api.run["status"]["phase"] == "Failed"
    assert world.api.calls == ["patch_status 101", "post_event JobRejected"]


def test_deleted_run_is_ignored(world: World):
    """The watch delivered its deletion."""
    world.cache.drop("runs", world.api.run)
    assert world.look() is None
    assert world.api.calls == []


def test_calls_of_a_whole_run(world: World):
    """From the first pass to the time to live: which calls, in which order."""
    calls: list[str] = []

    def look() -> None:
        world.look()
        calls.extend(call.split()[0] for call in world.api.calls)

    look()
    for stage in (Stage.DOWNLOAD, Stage.QRUN):
        job = a_job_document(500, stage, active=1)
        job["metadata"]["uid"] = world.api.jobs[f"demo-a1b2c3d4-{stage}"]["metadata"]["uid"]
        world.cache.put("jobs", job)
        running = a_pod_document(501, stage, phase="Running", **_state({"running": {"startedAt": MADE}}))
        running["metadata"]["ownerReferences"][0]["uid"] = job["metadata"]["uid"]
        world.cache.put("pods", running)
        look()
        ended = {"exitCode": 0, "message": result(stage), "finishedAt": MADE}
        done = a_pod_document(502, stage, phase="Succeeded", **_state({"terminated": ended}))
        done["metadata"]["ownerReferences"] = running["metadata"]["ownerReferences"]
        world.cache.put("pods", done)
        look()
    assert calls == [
        *("patch_status", "create_job", "post_event"),  # the download starts
        "patch_status",  # it runs
        # It is done, and qrun starts, without a NetworkPolicy.
        *("list_network_policies", "patch_status", "create_job", "post_event", "post_event", "post_event"),
        "patch_status",  # it runs
        *("patch_status", "post_event", "post_event"),  # complete
    ]
    spec = {"ttlSecondsAfterFinished": 60}
    world.cache.put("runs", {**world.api.run, "spec": spec, "metadata": a_run_document(999)["metadata"]})
    assert world.look() == 61
    world.minutes = 2
    world.api.run = {**world.api.run, "spec": spec, "metadata": a_run_document(999)["metadata"]}
    world.look()
    assert world.api.calls == ["get_run research/demo", "delete_run demo"]


def _state(state: dict[str, Any]) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "stage", "state": state}]}


def test_removed_ttl_deletes_nothing(world: World):
    """The cache may be a minute late; a read proves the end of a run first."""
    world.look()
    ended = {**world.api.run["status"], "completionTime": MADE, "conditions": [COMPLETED]}
    late = {**world.api.run, "status": ended, "spec": {"ttlSecondsAfterFinished": 60}}
    world.cache.put("runs", {**late, "metadata": a_run_document(999)["metadata"]})
    world.api.run = {**late, "spec": {}, "metadata": a_run_document(1000)["metadata"]}
    world.minutes = 5
    with pytest.raises(ConflictError):
        world.look()
    assert world.api.calls == ["get_run research/demo"]
    assert world.look() is None
    assert not [call for call in world.api.calls if call.startswith("delete_run")]


@pytest.mark.parametrize(
    "fault", [ClusterError("the API server does not answer: Read timed out."), RefusedError("denied")]
)
def test_stage_whose_job_cannot_be_created_says_why(world: World, fault: ClusterError):
    """Also where a webhook hangs for so long that the operator stops waiting for the API server."""
    world.api.faults["create_job"] = fault
    for _ in range(2):
        with pytest.raises(ClusterError):
            world.look()
    stage = world.api.run["status"]["stages"][0]
    assert (stage["state"], str(fault) in stage["message"]) == ("Waiting", True)
    assert world.api.calls[-1] == "post_event StageWaiting"
    world.minutes = 31
    world.look()
    assert world.api.run["status"]["phase"] == "Failed"


@pytest.mark.parametrize(
    "fault", [RefusedError("denied", permanent=True), ClusterError("the API server does not answer")]
)
def test_job_that_cannot_be_suspended_is_not_said_to_be(world: World, fault: ClusterError):
    """It runs on, and the status says so until it is suspended; the run is not resumed meanwhile."""
    the_download_runs(world)
    suspend(world)
    world.api.faults["set_job_suspended"] = fault
    for _ in range(3):
        with pytest.raises(ClusterError):
            world.look()
    status = world.api.run["status"]
    stage = status["stages"][0]
    assert (status["phase"], stage["state"], stage["reason"]) == ("Running", "Running", "JobNotChanged")
    told = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert told["Suspended"] == ("False", "JobNotChanged")
    assert "post_event Resumed" not in world.api.calls
    world.api.faults.clear()
    world.look()
    world.look()
    assert world.api.run["status"]["phase"] == "Suspended"


def test_job_that_cannot_be_resumed_says_why_until_it_can(world: World):
    """And no longer than the start timeout."""
    running = the_download_runs(world)
    suspend(world)
    world.look()
    world.cache.drop("pods", running)
    suspend(world, wanted=False)
    world.api.faults["set_job_suspended"] = ClusterError("the API server does not answer")
    for _ in range(2):
        with pytest.raises(ClusterError):
            world.look()
    stage = world.api.run["status"]["stages"][0]
    assert (stage["state"], stage["reason"]) == ("Waiting", "JobNotChanged")
    world.minutes = 31
    world.look()
    assert world.api.run["status"]["phase"] == "Failed"


def suspend(world: World, *, wanted: bool = True) -> None:
    """Set spec.suspend as a user does."""
    world.api.version += 1
    meta = {**world.api.run["metadata"], "resourceVersion": str(world.api.version)}
    world.api.run = {**world.api.run, "metadata": meta, "spec": {"suspend": wanted}}
    world.cache.put("runs", world.api.run)


def unmarked(world: World) -> dict[str, Any]:
    """Remove the labels of the Job: for the watch it is gone."""
    world.minutes += 0.4
    world.look()
    name = the_download(world)
    job = world.api.jobs[name]
    world.cache.drop("jobs", job)
    world.api.jobs[name] = {**job, "metadata": {**job["metadata"], "labels": {}}}
    return world.api.jobs[name]


@pytest.mark.parametrize("fault", [RefusedError("denied"), ClusterError("it does not answer"), None])
def test_job_whose_labels_cannot_be_restored_is_still_read(world: World, fault: ClusterError | None):
    """A policy refuses it, a webhook hangs, or one removes them again: the Job's end is seen all the same."""
    the_download_runs(world)
    job = unmarked(world)
    if fault:
        world.api.faults["create_job"] = fault
        with pytest.raises(ClusterError):
            world.look()
    world.look()
    assert world.look() is not None
    assert world.api.calls == ["get_job research/demo-a1b2c3d4-download"]
    assert world.api.run["status"]["stages"][0]["state"] == "Running"
    ended = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": MADE}]
    meta = {**job["metadata"], "resourceVersion": "900"}
    world.api.jobs[the_download(world)] = {**job, "metadata": meta, "status": {"conditions": ended}}
    world.look()
    assert world.api.run["status"]["phase"] == "Failed"


def test_job_that_is_deleted_out_of_sight_is_made_again(world: World):
    """It is read from time to time, and then it is gone."""
    the_download_runs(world)
    unmarked(world)
    world.look()
    world.api.jobs.clear()
    world.api.deletions += 1
    world.look()
    assert "create_job research/demo-a1b2c3d4-download" in world.api.calls
    assert world.api.run["status"]["stages"][0]["reason"] == "Retrying"


def test_event_is_posted_although_the_action_fails(world: World):
    """Its transition is in the status, so no later pass would post it."""
    world.look()
    world.minutes = 40
    world.api.faults["delete_job"] = ClusterError("the API server does not answer")
    with pytest.raises(ClusterError):
        world.look()
    posted = [one.split()[-1] for one in world.api.calls if one.startswith("post_event")]
    assert posted == ["NoPod"]
    world.api.faults.clear()
    world.look()
    assert not [one for one in world.api.calls if one.startswith("post_event")]


def test_job_is_deleted_by_uid(world: World):
    """Not another Job of the same name."""
    world.look()
    world.minutes = 40
    world.look()
    name = "demo-a1b2c3d4-download"
    assert f"delete_job research/{name} {name}" in world.api.calls
    assert world.api.run["metadata"]["uid"] == UID


def the_download(world: World) -> str:
    """Return the name of the first stage's Job."""
    assert world.api.jobs.keys() == {"demo-a1b2c3d4-download"}
    return "demo-a1b2c3d4-download"


def delete_the_job(world: World) -> None:
    """Delete the Job by hand; the watch delivers it."""
    world.minutes += 0.4
    world.look()  # it was seen, and its uid written
    world.cache.drop("jobs", world.api.jobs.pop(the_download(world)))
    world.api.deletions += 1


def test_job_deleted_by_hand_is_recreated_once(world: World):
    """A query confirms it each time: a cache may be late, and a Job without its labels is not deleted."""
    world.look()
    delete_the_job(world)
    world.look()
    assert world.api.calls == [
        "get_job research/demo-a1b2c3d4-download",
        "patch_status 103",
        "create_job research/demo-a1b2c3d4-download",
        "post_event StageRetrying",
    ]
    world.look()
    assert world.api.run["status"]["stages"][0]["recreations"] == 1
    late = world.api.jobs["demo-a1b2c3d4-download"]
    world.cache.drop("jobs", late)
    world.look()
    assert world.api.calls == ["get_job research/demo-a1b2c3d4-download"]
    delete_the_job(world)
    world.look()
    assert world.api.calls[0] == "get_job research/demo-a1b2c3d4-download"
    assert world.api.run["status"]["phase"] == "Failed"
    assert world.api.calls[-1] == "post_event JobDeleted"


def test_job_without_pod_is_explained_by_its_events(world: World):
    """They are read every five minutes, and only while there is no pod."""
    note = 'Error creating: pods "x" is forbidden: exceeded quota: q, requested: limits.memory=2Gi'
    world.api.warnings = [{"reason": "FailedCreate", "note": note, "deprecatedLastTimestamp": MADE}]
    world.look()
    world.look()
    world.minutes = 0.4
    world.look()
    assert world.api.calls[0] == "list_warnings research/demo-a1b2c3d4-download"
    stage = world.api.run["status"]["stages"][0]
    assert (stage["state"], stage["reason"]) == ("Waiting", "QuotaExceeded")
    assert "limits.memory=2Gi. Change stages.download.resources" in stage["message"]
    world.look()
    assert world.api.calls == []
    world.minutes = 5.5
    world.look()
    assert world.api.calls == ["list_warnings research/demo-a1b2c3d4-download"]


def test_no_warning_is_queried_again_sooner_than_a_warning(world: World):
    """Events may come late; until then, the stage is Starting."""
    world.look()
    world.minutes = 0.4
    world.look()
    assert world.api.calls == ["list_warnings research/demo-a1b2c3d4-download", "patch_status 101"]
    world.minutes = 2.3
    world.look()
    assert world.api.calls == []
    note = "Error creating: exceeded quota: q"
    world.api.warnings = [{"reason": "FailedCreate", "note": note, "deprecatedLastTimestamp": MADE}]
    world.minutes = 2.5
    world.look()
    assert world.api.calls[0] == "list_warnings research/demo-a1b2c3d4-download"
    assert world.api.run["status"]["stages"][0]["reason"] == "QuotaExceeded"


def test_forbidden_event_reads_are_tolerated(world: World):
    """An older Role does not allow it."""
    world.api.faults["list_warnings"] = RefusedError("events is forbidden")
    world.look()
    world.look()
    world.minutes = 0.4
    world.look()
    assert world.api.run["status"]["stages"][0]["state"] == "Starting"
    world.look()
    assert world.api.calls == []


def test_terminating_namespace_is_left_alone(world: World):
    """One refused call, no Event, no second attempt."""
    world.api.faults["create_job"] = NamespaceTerminatingError("because it is being terminated")
    assert world.look() is None
    assert world.api.calls == ["patch_status 1", "create_job research/demo-a1b2c3d4-download"]
    assert world.look() is None
    assert world.api.calls == []
