"""A cluster with users, controllers, a node and one or two operators, whose actions come in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.unit.operator.model.apiserver import JOBS, PODS, RUNS, ApiServer, has_ended, is_true, owner_of
from tests.unit.operator.model.clock import Clock
from tests.unit.operator.model.controllers import JobController, admit, collect_garbage, is_over
from tests.unit.operator.model.endpoints import Endpoints
from tests.unit.operator.model.ground_truth import Facts, is_report, place_of
from tests.unit.operator.model.invariants import PROMISES, Write
from tests.unit.operator.model.node import Node, is_lost, state_of
from tests.unit.operator.model.process import Process

from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import FINISHED
from qlib_shadow_runner.contract import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.unit.operator.model.apiserver import Document
    from tests.unit.operator.model.endpoints import Mischief

NAME, NAMESPACE = "demo", "research"
REST_AFTER = 400
"""Rounds within which an undisturbed world must settle."""


@dataclass
class World:
    """The whole cluster, and what may happen to it."""

    clock: Clock = field(default_factory=Clock)
    events: list[Document] = field(default_factory=list)
    fate: str = "exits with 0"
    """How pods end that are not disturbed any more."""
    defaults: Defaults = field(default_factory=Defaults)

    def __post_init__(self) -> None:
        self.facts = Facts(self.clock)
        self.server = ApiServer(lambda: self.clock.text, self._changed)
        self.controller = JobController(self.server, self.clock)
        self.node = Node(self.server, self.clock)
        self.acting: Process | None = None
        self.operators = [self._operator()]

    def _operator(self) -> Process:
        line = Endpoints(self.server, self._overtake, self._meanwhile, self.events.append, self._refused)
        return Process(self.server, self.clock, line, self.defaults)

    # --- what is checked ----------------------------------------------------------------------------

    def _changed(self, old: Document | None, new: Document, kind: str) -> None:
        self.facts.note(old, new, kind)
        if kind == JOBS and old is None:
            self._check_job(new)
        if kind == RUNS and old is not None and new.get("status") != old.get("status"):
            assert self.acting is not None
            write = Write(old, new, self.facts, self.acting.is_current)
            try:
                for promise in PROMISES:
                    promise(write)
            except AssertionError as error:
                error.add_note(self.tell())
                raise

    def _check_job(self, job: Document) -> None:
        """Check that a Job's stage is in the status, and that the stages before it have succeeded."""
        run, (uid, stage) = self.run, place_of(job)
        if run is None or run["metadata"]["uid"] != uid:
            return  # deleted meanwhile; the garbage collector deletes the Job
        if is_report(job):
            over = self.facts.complete | self.facts.failed
            assert (uid, stage) in over, f"the result of {stage} was to be recovered before it had ended"
            return
        states = {one["name"]: one["state"] for one in run["status"]["stages"]}
        assert states[stage] not in FINISHED, f"{stage} is {states[stage]}, and was started again"
        assert states[stage] != "Pending", f"the Job of {stage} was made before its stage began"
        before = list(states)[: list(states).index(stage)]
        undone = [name for name in before if states[name] != "Succeeded"]
        assert not undone, f"{stage} was made before {undone} succeeded"

    def _refused(self, job: Document, *, permanent: bool) -> None:
        self.facts.note_refusal(job, permanent=permanent)

    def _overtake(self) -> None:
        """Deliver the watches' events before the call's answer."""
        if self.acting:
            self.acting.hear_everything()

    def _meanwhile(self) -> None:
        """Change the run between a decision and its call."""
        if self.run:
            self.user_suspends(suspend=not self.run["spec"].get("suspend"))

    # --- users --------------------------------------------------------------------------------------

    @property
    def run(self) -> Document | None:
        """Return the run, or None."""
        return self.server.objects[RUNS].get(NAME)

    def user_applies(self, **spec: Any) -> None:
        """Create the run, again after it was deleted."""
        if self.run is None:
            meta = {"name": NAME, "namespace": NAMESPACE}
            body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}
            self.server.create(RUNS, body)

    def user_suspends(self, *, suspend: bool) -> None:
        """Suspend or resume the run."""
        if self.run:
            self.server.patch(RUNS, NAME, {"spec": {"suspend": suspend}})

    def user_limits_life(self, seconds: int, of: str = "ttlSecondsAfterFinished") -> None:
        """Set the time to live of the run, or of its Jobs."""
        if self.run:
            self.server.patch(RUNS, NAME, {"spec": {of: seconds}})

    def user_deletes_run(self) -> None:
        """Delete the run."""
        if self.run:
            self.server.delete(RUNS, NAME)

    def user_deletes_job(self, job: Document) -> None:
        """Delete a Job by hand."""
        self.facts.note_deletion(job)
        self.server.delete(JOBS, job["metadata"]["name"])

    def user_removes_marks(self, job: Document, what: str) -> None:
        """Remove a Job's labels or its owner, which the operator finds it by."""
        nothing: dict[str, Any] = {"labels": {}, "ownerReferences": []}
        meta = {**job["metadata"], what: nothing[what]}
        self.server.replace(JOBS, job, {**job, "metadata": meta})

    def user_removes_labels(self, pod: Document) -> None:
        """Remove a pod's labels, except that by which its Job controller finds it."""
        old = pod["metadata"]
        kept = {name: value for name, value in old["labels"].items() if name == "job-name"}
        annotations = old.get("annotations", {}) | {
            f"was-{name}": value for name, value in old["labels"].items()
        }
        meta = {**old, "labels": kept, "annotations": annotations}
        self.server.replace(PODS, pod, {**pod, "metadata": meta})

    def user_deletes_pod(self, pod: Document) -> None:
        """Delete a pod by hand; a result may be lost with it."""
        self.server.delete(PODS, pod["metadata"]["name"])

    @property
    def jobs(self) -> list[Document]:
        """Return the Jobs in order of creation."""
        return list(self.server.objects[JOBS].values())

    @property
    def pods(self) -> list[Document]:
        """Return the pods in order of creation."""
        return list(self.server.objects[PODS].values())

    @property
    def pods_of_owned_jobs(self) -> list[Document]:
        """Return the pods that are not lost, and that the garbage collector deletes with their run."""
        orphans = {job["metadata"]["uid"] for job in self.jobs if not owner_of(job)}
        return [pod for pod in self.pods_of_nodes if owner_of(pod) not in orphans]

    @property
    def pods_of_nodes(self) -> list[Document]:
        """Return the pods that are not lost; the others can never end."""
        return [pod for pod in self.pods if not is_lost(pod)]

    # --- progress -----------------------------------------------------------------------------------

    def look(self, operator: Process, plan: Iterable[Mischief] = ()) -> bool:
        """Let an operator reconcile one run."""
        self.acting = operator
        try:
            return operator.look(plan)
        finally:
            self.acting = None

    def controllers_work(self) -> None:
        """Let the Job controller and the garbage collector process everything."""
        for job in self.jobs:
            self.controller.sync(job)
        collect_garbage(self.server, self.controller)

    def node_works(self) -> None:
        """Move every pod one step towards its end."""
        for pod in self.pods:
            step = self._step_of(pod)
            if step:
                self.node.step(pod, step)

    def kueue_admits(self) -> None:
        """Admit every queued Job whose run is not suspended."""
        for job in self.jobs:
            admit(self.server, job)

    def _step_of(self, pod: Document) -> str | None:
        steps = self.node.steps(pod)
        if {"is gone", "is over", "is scheduled"} & set(steps):
            return steps[0]
        if "runs" in steps:
            stuck = self.fate if self.fate in steps else "runs"
            return None if self.fate in steps and "waiting" in state_of(pod) else stuck
        return self.fate if self.fate in steps else None

    def round(self) -> bool:
        """Let every actor do what is due; return whether anything changed."""
        before = self.server.version, len(self.events)
        busy = False
        for operator in self.operators:
            operator.hear_everything()
            busy = self.look(operator) or busy
        self.controllers_work()
        self.node_works()
        self.kueue_admits()
        return busy or before != (self.server.version, len(self.events))

    def everything_is_mended(self) -> None:
        """End all disturbances."""
        self.server.job_refusal = None
        self.controller.refuses_pods = False
        for operator in self.operators:
            operator.line.is_down = False

    def settles(self) -> None:
        """Continue until nothing is left to do and no timer is set."""
        for _ in range(REST_AFTER):
            if self.round():
                continue
            alarms = [due for due in self._alarms() if due is not None]
            if not alarms:
                return
            self.clock.now = max(int(min(alarms)) + 1, self.clock.now)
        raise AssertionError(f"the world does not come to rest: {self.tell()}")

    def _alarms(self) -> list[float | None]:
        due = [operator.next_timer for operator in self.operators]
        open_jobs = [job for job in self.jobs if not is_over(job) and not job["spec"].get("suspend")]
        due += [self.controller.deadline(job) for job in open_jobs]
        wake = [self.controller.wake_at.get(job["metadata"]["uid"], 0) for job in open_jobs]
        return due + [at for at in wake if at > self.clock.now]

    # --- settled ------------------------------------------------------------------------------------

    def check_settled(self) -> None:
        """Assert that the run has finished or is suspended, and that none of its pods runs."""
        if self.run is None:
            left = [*filter(owner_of, self.jobs), *self.pods_of_owned_jobs]
            assert not left, f"something outlived its run: {self.tell()}"
            return
        status = self.run.get("status", {})
        over = is_true(self.run, "Complete") or is_true(self.run, "Failed")
        suspended = bool(self.run["spec"].get("suspend")) and is_true(self.run, "Suspended")
        assert over or suspended, f"the run neither ends nor waits: {self.tell()}"
        assert status["observedGeneration"] == self.run["metadata"]["generation"]
        at_work = [job for job in self.jobs if not is_over(job) and (over or not job["spec"].get("suspend"))]
        assert not at_work, f"a Job goes on, or will, although no run waits for it: {self.tell()}"
        assert all(map(has_ended, self.pods_of_nodes)), f"a pod goes on: {self.tell()}"

    def tell(self) -> str:
        """Return a description of the state, for a failed test."""
        run = self.run or {"spec": None}
        jobs = [(j["metadata"]["name"], j["spec"].get("suspend"), j.get("status")) for j in self.jobs]
        pods = [(p["metadata"]["name"], p["status"].get("phase"), state_of(p)) for p in self.pods]
        return f"{run['spec']} {run.get('status')}\njobs {jobs}\npods {pods} at {self.clock.now}"
