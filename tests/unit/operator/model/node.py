"""The scheduler, the kubelet and the runner: everything that can happen to a pod, one step at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.unit.operator.builders import DATASET, METRICS
from tests.unit.operator.model.apiserver import PODS, first_labels, has_ended

from qlib_shadow_operator.runs.names import CONTAINER, LABEL_RUN_UID, LABEL_STAGE
from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from tests.unit.operator.model.apiserver import ApiServer, Document
    from tests.unit.operator.model.clock import Clock

WAITING = {
    "image cannot be pulled": ("ImagePullBackOff", 'Back-off pulling image "qlib-runner"'),
    "image name is none": ("InvalidImageName", "couldn't parse image name"),
    "container cannot be configured": ("CreateContainerConfigError", 'secret "archive" not found'),
    "container is being created": ("ContainerCreating", ""),
}
UNSCHEDULABLE = {
    "no node takes it": "0/1 nodes are available: 1 Insufficient memory.",
    "claim is missing": '0/1 nodes are available: persistentvolumeclaim "qlib-shadow-data" not found.',
}
REASONS = {
    ExitCode.DONE: "Succeeded",
    ExitCode.INTERNAL: "InternalError",
    ExitCode.BAD_CONFIG: "InvalidSpec",
    ExitCode.BAD_DATA: "DatasetMissing",
    ExitCode.PROMISE_BROKEN: "ShadowPromiseBroken",
    ExitCode.TRANSIENT: "DownloadFailed",
    ExitCode.OUT_OF_DISK: "OutOfDisk",
    ExitCode.INTERRUPTED: "Interrupted",
}
"""The results that the runner writes when it ends by itself."""
LONG = "the log says a lot and says it again; " * 80
STEPS_ON_NODE = ("runs", *WAITING)
ENDS = (
    *(f"exits with {int(code)}" for code in REASONS),
    *(
        "is killed for memory",
        "dies without a word",
        "says nonsense",
        "speaks of another run",
        "cannot be executed",
    ),
    *("is evicted", "is preempted", "is lost with its node", "outgrows its scratch space"),
)
UNCOUNTED = frozenset({f"exits with {int(ExitCode.INTERRUPTED)}", "is evicted", "is preempted"})
"""Ends that are always retried; only the stage's deadline limits them."""
LOST = "lost"
"""Marks a pod whose node will never report again."""


@dataclass
class Node:
    """Moves pods through their steps."""

    server: ApiServer
    clock: Clock
    is_reachable: bool = True
    """False for a full volume or an unreachable registry: pods stay stuck until it is fixed."""

    def steps(self, pod: Document) -> tuple[str, ...]:
        """Return what can happen to a pod now."""
        if has_ended(pod) or is_lost(pod):
            return ()
        if "deletionTimestamp" in pod["metadata"]:
            return ("is gone",)
        if "terminated" in state_of(pod):
            return ("is over",)
        if "running" in state_of(pod):
            return (*ENDS, "has stopped")
        if "nodeName" in pod.get("spec", {}):
            return (*STEPS_ON_NODE, "is evicted")
        return ("is scheduled", *UNSCHEDULABLE)

    def step(self, pod: Document, name: str) -> None:
        """Carry out one step."""
        if name == "is scheduled":
            self.server.replace(PODS, pod, {**pod, "spec": {**pod["spec"], "nodeName": "node0"}})
        elif name in UNSCHEDULABLE:
            message = UNSCHEDULABLE[name]
            stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._set(pod, conditions=[stuck])
        elif name in WAITING:
            reason, message = WAITING[name]
            self._container(pod, "Pending", {"waiting": {"reason": reason, "message": message}})
        elif name == "runs":
            self.clock.now += 1  # containers never start in the second in which another one ended
            self._container(pod, "Running", {"running": {"startedAt": self.clock.text}})
        elif name == "has stopped":
            self._stops(pod)
        elif name == "is over":
            self._set(pod, phase="Succeeded")
        elif name == "is gone":
            self._is_gone(pod)
        else:
            self._ends(pod, name)

    def _ends(self, pod: Document, how: str) -> None:
        if how in {"is evicted", "is preempted"}:
            self._disrupt(pod, how)
            return
        if how == "outgrows its scratch space":
            self._outgrow(pod)
            return
        if how == "is lost with its node":
            annotations = pod["metadata"].get("annotations", {}) | {LOST: "true"}
            meta = {**pod["metadata"], "annotations": annotations}
            self.server.replace(PODS, pod, {**pod, "metadata": meta})
            self.server.delete(PODS, meta["name"])
            return
        code, reason, message = end_of(pod, how)
        self._terminate(pod, code, reason, message)

    def _disrupt(self, pod: Document, how: str) -> None:
        """Evict the pod, with the condition by which Kubernetes marks a disruption."""
        disruption = [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]
        if how == "is evicted":
            told = {"reason": "Evicted", "message": "The node was low on resource: memory."}
            self._set(pod, phase="Failed", containerStatuses=None, conditions=disruption, **told)
            return
        self._set(pod, conditions=disruption)
        self.server.delete(PODS, pod["metadata"]["name"])

    def _outgrow(self, pod: Document) -> None:
        """Evict the pod as the kubelet does for its own doing: with SIGTERM, and without a condition."""
        told = {"reason": "Evicted", "message": 'Usage of EmptyDir volume "work" exceeds the limit "4Gi". '}
        end = {"exitCode": 143, "reason": "Error", "message": said(pod, ExitCode.INTERRUPTED)}
        self._container(pod, "Failed", {"terminated": end | {"finishedAt": self.clock.text}}, **told)

    def _stops(self, pod: Document) -> None:
        """Report that the container has succeeded, a moment before the pod has."""
        code, reason, message = end_of(pod, "exits with 0")
        end = {"exitCode": code, "reason": reason, "message": message, "finishedAt": self.clock.text}
        self._container(pod, "Running", {"terminated": end})

    def _is_gone(self, pod: Document) -> None:
        """End a deleted pod: the process gets SIGTERM; the pod is removed when nothing holds it."""
        if "running" in state_of(pod):
            self._terminate(pod, 143, "Error", said(pod, ExitCode.INTERRUPTED))
        elif "terminated" in state_of(pod):
            self._set(pod, phase="Succeeded")
        else:
            self._set(pod, phase="Failed")
        name = pod["metadata"]["name"]
        if not pod["metadata"].get("finalizers"):
            self.server.remove(PODS, name)

    def _terminate(self, pod: Document, code: int, reason: str, message: str) -> None:
        end = {"exitCode": code, "reason": reason, "message": message, "finishedAt": self.clock.text}
        self._container(pod, "Failed" if code else "Succeeded", {"terminated": end})

    def _container(self, pod: Document, phase: str, state: Document, **more: str) -> None:
        told = {"name": CONTAINER, "state": state, "imageID": "sha256:1"}
        self._set(pod, phase=phase, containerStatuses=[told], conditions=kept_conditions(pod), **more)

    def _set(self, pod: Document, **fields: Any) -> None:
        self.server.set_status(PODS, pod["metadata"]["name"], **fields)


def is_lost(pod: Document) -> bool:
    """Return whether a pod can never be ended by its node."""
    return LOST in pod["metadata"].get("annotations", {})


def kept_conditions(pod: Document) -> list[Document] | None:
    """Drop the scheduler's condition, because the pod has a node."""
    found = [one for one in pod["status"].get("conditions") or () if one["type"] != "PodScheduled"]
    return found or None


def state_of(pod: Document) -> Document:
    """Return the state of a pod's container."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((dict(one["state"]) for one in statuses), {})


def end_of(pod: Document, how: str) -> tuple[int, str, str]:
    """Return exit code, reason and termination message of an end."""
    if how.startswith("exits with "):
        code = ExitCode(int(how.removeprefix("exits with ")))
        return int(code), "Completed" if code is ExitCode.DONE else "Error", said(pod, code)
    return {
        "is killed for memory": (137, "OOMKilled", ""),
        "dies without a word": (1, "Error", LONG),
        "says nonsense": (0, "Completed", LONG),
        "speaks of another run": (0, "Completed", said(pod, ExitCode.DONE, uid="another")),
        "cannot be executed": (128, "StartError", "exec: not found"),
    }[how]


def said(pod: Document, code: ExitCode, **more: Any) -> str:
    """Return a result as the runner writes it."""
    labels = first_labels(pod)
    content: dict[str, Any] = {
        "stage": labels[LABEL_STAGE],
        "uid": labels[LABEL_RUN_UID],
        "reason": REASONS[code],
        "message": LONG[:900] if code else "done",
    }
    if code is ExitCode.DONE:
        content |= {"dataset": DATASET, "metrics": METRICS, "configHash": "c0ffee"}
    return json.dumps(content | more)


def result_of(pod: Document) -> str | None:
    """Return the reason of a pod's failure; None if it has not ended or has succeeded."""
    if not has_ended(pod):
        return None
    end = state_of(pod).get("terminated")
    if end is None:
        return "Evicted"
    code = end["exitCode"]
    if code == 0:
        return None
    reason = pod["status"].get("reason") or end["reason"]
    by_reason = {"Evicted": "OutOfScratch", "OOMKilled": "OutOfMemory", "StartError": "ContainerCannotStart"}
    if reason in by_reason:
        return by_reason[reason]
    return "ContainerFailed" if end["message"] == LONG else REASONS[ExitCode(code)]
