"""The Job controller and the garbage collector, written from the Kubernetes documentation.

podFailurePolicy, backoffLimit, podReplacementPolicy Failed, activeDeadlineSeconds and suspend are read from
the Job that the operator created, so their effect is tested, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.unit.operator.model.apiserver import JOBS, PODS, RUNS, has_ended, is_true, labels_of, owner_of

from qlib_shadow_operator.runs.names import LABEL_QUEUE

if TYPE_CHECKING:
    from tests.unit.operator.model.apiserver import ApiServer, Document
    from tests.unit.operator.model.clock import Clock

TRACKING = "batch.kubernetes.io/job-tracking"
FIRST_BACKOFF = 10
LONGEST_BACKOFF = 600
OVER = ("Complete", "Failed")


def is_over(job: Document) -> bool:
    """Return whether the controller has finished a Job."""
    return any(is_true(job, kind) for kind in OVER)


def exit_code(pod: Document) -> int | None:
    """Return the exit code of a pod's container."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    ends = [one["state"]["terminated"] for one in statuses if "terminated" in one.get("state", {})]
    return int(ends[0]["exitCode"]) if ends else None


def action_of(policy: Document, pod: Document) -> str:
    """Return the action of the first rule of a podFailurePolicy that matches a failed pod."""
    code = exit_code(pod)
    for rule in policy.get("rules", ()):
        by_code = rule.get("onExitCodes")
        if by_code and code is not None and code != 0 and code in by_code["values"]:
            return str(rule["action"])
        if any(is_true(pod, one["type"]) for one in rule.get("onPodConditions", ())):
            return str(rule["action"])
    return "Count"


@dataclass
class JobController:
    """Syncs Jobs, one at a time."""

    server: ApiServer
    clock: Clock
    refuses_pods: bool = False
    """Whether no pod can be created, for example because of a quota."""
    wake_at: dict[str, int] = field(default_factory=dict)
    """By Job uid: when the next pod may be created."""
    failures: dict[str, int] = field(default_factory=dict)
    """By Job uid: how many pods have failed, those that a rule ignores included: the wait grows with them."""
    pods_made: int = 0

    def sync(self, job: Document) -> None:
        """Do what is due for a Job."""
        if is_over(job):
            self._let_go(job)
            return
        job = self._count(job)
        verdict = self._verdict(job)
        if verdict:
            self._finish(job, *verdict)
        elif job["spec"].get("suspend"):
            self._pause(job)
        else:
            self._go_on(self._begun(job))

    def _pods(self, job: Document) -> list[Document]:
        return self.server.owned_by(PODS, job["metadata"]["uid"])

    def _active(self, job: Document) -> list[Document]:
        return [pod for pod in self._pods(job) if not has_ended(pod)]

    def _count(self, job: Document) -> Document:
        """Count ended pods, each once: the finalizer marks the uncounted ones."""
        status = job.get("status", {})
        totals = {"succeeded": status.get("succeeded", 0), "failed": status.get("failed", 0)}
        doomed = None
        for pod in self._pods(job):
            if not has_ended(pod) or not pod["metadata"].get("finalizers"):
                continue
            action = "Done" if pod["status"]["phase"] == "Succeeded" else self._action(job, pod)
            totals["succeeded"] += action == "Done"
            totals["failed"] += action in {"Count", "FailJob"}
            doomed = doomed or (action == "FailJob")
            self._release(pod)
            if action != "Done":
                self._back_off(job)
        job = self._set(job, **totals)
        return self._mark(job, "FailureTarget", "PodFailurePolicy") if doomed else job

    def _action(self, job: Document, pod: Document) -> str:
        return action_of(job["spec"].get("podFailurePolicy", {}), pod)

    def _back_off(self, job: Document) -> None:
        uid = job["metadata"]["uid"]
        failures = self.failures[uid] = self.failures.get(uid, 0) + 1
        self.wake_at[uid] = self.clock.now + min(FIRST_BACKOFF * 2 ** (failures - 1), LONGEST_BACKOFF)

    def _verdict(self, job: Document) -> tuple[str, str] | None:
        status, spec = job.get("status", {}), job["spec"]
        for kind, final in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
            if is_true(job, kind):
                return final, next(one["reason"] for one in status["conditions"] if one["type"] == kind)
        if status.get("succeeded"):
            return "Complete", "CompletionsReached"
        if status.get("failed", 0) > spec["backoffLimit"]:
            return "Failed", "BackoffLimitExceeded"
        return ("Failed", "DeadlineExceeded") if self._is_late(job) else None

    def _is_late(self, job: Document) -> bool:
        end = self.deadline(job)
        return end is not None and self.clock.now >= end

    def deadline(self, job: Document) -> int | None:
        """Return when a running Job reaches its deadline."""
        start = job.get("status", {}).get("startTime")
        if start is None or job["spec"].get("suspend") or is_over(job):
            return None
        return self.clock.read(start) + int(job["spec"]["activeDeadlineSeconds"])

    def _finish(self, job: Document, final: str, reason: str) -> None:
        """Set the target condition, stop running pods, and set the final condition once none runs."""
        target = "FailureTarget" if final == "Failed" else "SuccessCriteriaMet"
        if not is_true(job, target):
            job = self._mark(job, target, reason)
        if self._active(job):
            self._stop_pods(job)
            return
        end = {"completionTime": self.clock.text} if final == "Complete" else {}
        self._mark(self._set(job, active=0, **end), final, reason)

    def _pause(self, job: Document) -> None:
        self._stop_pods(job)
        self._mark(self._set(job, active=0), "Suspended", "JobSuspended")

    def _stop_pods(self, job: Document) -> None:
        """Delete running pods; pods that the controller stops do not count as failed."""
        for pod in self._active(job):
            self.server.delete(PODS, self._release(pod)["metadata"]["name"])

    def _begun(self, job: Document) -> Document:
        if is_true(job, "Suspended"):
            return self._mark(self._set(job, startTime=self.clock.text), "Suspended", "JobResumed", "False")
        return job if "startTime" in job.get("status", {}) else self._set(job, startTime=self.clock.text)

    def _go_on(self, job: Document) -> None:
        due = self.clock.now >= self.wake_at.get(job["metadata"]["uid"], 0)
        if not self._active(job) and due:
            self._make_pod(job)
        self._set(job, active=sum("deletionTimestamp" not in pod["metadata"] for pod in self._active(job)))

    def _make_pod(self, job: Document) -> None:
        if self.refuses_pods:
            self._complain(job["metadata"]["uid"])
            return
        self.pods_made += 1
        template = job["spec"]["template"]
        owner = {"uid": job["metadata"]["uid"], "name": job["metadata"]["name"], "controller": True}
        meta = {
            "name": f"pod-{self.pods_made * 7919 % 10_000:04}",  # unordered, as Kubernetes names them
            "namespace": job["metadata"]["namespace"],
            "labels": template["metadata"]["labels"] | {"job-name": job["metadata"]["name"]},
            "ownerReferences": [owner],
            "finalizers": [TRACKING],
        }
        self.server.create(PODS, {"metadata": meta, "spec": template["spec"], "status": {"phase": "Pending"}})

    def _complain(self, uid: str) -> None:
        """Post an Event, once a minute at most."""
        told = self.server.warnings.setdefault(uid, [])
        if not told or self.clock.now >= self.clock.read(told[-1]["eventTime"]) + 60:
            note = "Error creating: pods is forbidden: exceeded quota: research"
            told.append({"reason": "FailedCreate", "note": note, "eventTime": self.clock.text})

    def _release(self, pod: Document) -> Document:
        """Remove the finalizer, which may be all that holds the pod."""
        meta = {**pod["metadata"], "finalizers": []}
        if "deletionTimestamp" in meta and has_ended(pod):
            return self.server.remove(PODS, meta["name"])
        return self.server.replace(PODS, pod, {**pod, "metadata": meta})

    def _let_go(self, job: Document) -> None:
        for pod in self._pods(job):
            if pod["metadata"].get("finalizers") or not has_ended(pod):
                released = self._release(pod)
                if not has_ended(released):
                    self.server.delete(PODS, released["metadata"]["name"])

    def _set(self, job: Document, **fields: Any) -> Document:
        return self.server.set_status(JOBS, job["metadata"]["name"], **fields)

    def _mark(self, job: Document, kind: str, reason: str, status: str = "True") -> Document:
        before = job.get("status", {}).get("conditions", [])
        if any(one["type"] == kind and one["status"] == status for one in before):
            return job
        others = [one for one in before if one["type"] != kind]
        news = {"type": kind, "status": status, "reason": reason, "lastTransitionTime": self.clock.text}
        return self._set(job, conditions=[*others, news])


def admit(server: ApiServer, job: Document) -> None:
    """Admit a queued Job, as Kueue does."""
    if LABEL_QUEUE in labels_of(job) and job["spec"].get("suspend") and not is_over(job):
        server.patch(JOBS, job["metadata"]["name"], {"spec": {"suspend": False}})


def preempt(server: ApiServer, job: Document) -> None:
    """Preempt a queued Job, as Kueue does."""
    if LABEL_QUEUE in labels_of(job) and not is_over(job):
        server.patch(JOBS, job["metadata"]["name"], {"spec": {"suspend": True}})


def collect_garbage(server: ApiServer, controller: JobController) -> None:
    """Delete objects without an owner; a pod is told to stop first."""
    for job in list(server.objects[JOBS].values()):
        if owner_of(job) and not any(
            run["metadata"]["uid"] == owner_of(job) for run in server.objects[RUNS].values()
        ):
            server.delete(JOBS, job["metadata"]["name"])
    alive = {job["metadata"]["uid"] for job in server.objects[JOBS].values()}
    for pod in list(server.objects[PODS].values()):
        if owner_of(pod) not in alive:
            released = controller._release(pod)
            if released["metadata"]["name"] in server.objects[PODS]:
                server.delete(PODS, released["metadata"]["name"])
