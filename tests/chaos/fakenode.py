"""A node without a kubelet: the real scheduler assigns pods to it, and they start and end within moments.

Everything else is real: the API server, the Job controller, the scheduler and the operator. No stage runs; a
result as the runner writes it is written to the pod's status by the API calls of a kubelet.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Document = dict[str, Any]
NAME = "fake"
ROOM = {"cpu": "1000", "memory": "1000Gi", "pods": "1000", "ephemeral-storage": "1000Gi"}
PERIOD = 0.25
"""Seconds between two checks of the pods; a pod needs three from scheduling to its end."""
HEARTBEAT = 5.0
"""Seconds between two heartbeats, however long the checks take; a failed heartbeat is repeated at once."""
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "lost", "effect": "NoExecute"}
"""The taint that an administrator sets on a node that will not return by itself."""
DATASET = {
    "path": "/data/qlib/qlib_data/us_data_1d",
    "resolvedPath": "/data/qlib/qlib_data/us_data_1d@3f9c",
    "calendarStart": "2019-01-02",
    "calendarEnd": "2024-10-17",
    "instruments": 60,
}
METRICS = {"ic": 0.04, "rankIc": 0.04, "annualizedReturn": 0.09, "maxDrawdown": -0.1}


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class FakeNode:
    """Moves the pods of one namespace and sends heartbeats; outages of the API server are tolerated."""

    kubeconfig: Path
    namespace: str
    defects: list[Exception] = field(default_factory=list)
    """The errors that ended the threads."""
    holds: bool = False
    """Whether running pods continue to run."""
    is_lost: bool = False
    due: float = 0.0
    """When the next heartbeat is due, by the monotonic clock."""

    def __post_init__(self) -> None:
        configuration = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        configuration.retries = False
        self._core: Any = client.CoreV1Api(client.ApiClient(configuration))
        self._over = threading.Event()
        self._telling = threading.Lock()
        self._threads = [
            threading.Thread(target=self._repeat, args=(act,), name="fake node", daemon=True)
            for act in (self._look, self._beat)
        ]

    def start(self) -> None:
        """Join the cluster and start."""
        self._core.create_node({"metadata": {"name": NAME}})
        self._beat()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave the cluster."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._core.delete_node(NAME)
        assert not self.defects, self.defects

    def lose(self) -> None:
        """Stop reporting, as a lost node does, and set the administrator's taint."""
        with self._telling:
            self.is_lost = True
            self._report("Unknown", "NodeStatusUnknown")
        self._core.patch_node(NAME, {"spec": {"taints": [OUT_OF_SERVICE]}})

    def come_back(self) -> None:
        """Return as a working node."""
        self._core.patch_node(NAME, {"spec": {"taints": None}})
        self.is_lost, self.due = False, 0.0
        self._beat()

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._over.wait(PERIOD):
            try:
                act()
            except (HTTPError, ApiException) as error:
                if isinstance(error, ApiException) and error.status in {400, 403, 422}:
                    self.defects.append(error)
                    return

    def _look(self) -> None:
        if self.is_lost:
            return
        answer = self._core.list_namespaced_pod(self.namespace, _preload_content=False, _request_timeout=5)
        for pod in json.loads(answer.data)["items"]:
            if pod["spec"].get("nodeName") == NAME:
                self._move(pod)

    def _beat(self) -> None:
        with self._telling:  # an earlier report must not arrive after the loss
            if not self.is_lost and time.monotonic() >= self.due:
                self._report("True", "KubeletReady")
                self.due = time.monotonic() + HEARTBEAT

    def _report(self, status: str, reason: str) -> None:
        ready = {"type": "Ready", "status": status, "reason": reason, "lastHeartbeatTime": now()}
        told = {"capacity": ROOM, "allocatable": ROOM, "conditions": [ready]}
        self._core.patch_node_status(NAME, {"status": told}, _request_timeout=5)

    def _move(self, pod: Document) -> None:
        """Move a pod one step."""
        phase = pod["status"]["phase"]
        if phase in {"Succeeded", "Failed"}:
            if "deletionTimestamp" in pod["metadata"]:
                self._remove(pod)
        elif "deletionTimestamp" in pod["metadata"]:
            self._end(pod, 143, "")
        elif phase == "Pending":
            self._write(pod, "Running", {"running": {"startedAt": now()}})
        elif not self.holds:
            self._end(pod, 0, result_of(pod))

    def _end(self, pod: Document, code: int, message: str) -> None:
        began = pod["status"].get("startTime") or now()
        told = {"exitCode": code, "message": message, "startedAt": began, "finishedAt": now()}
        self._write(pod, "Failed" if code else "Succeeded", {"terminated": told})

    def _write(self, pod: Document, phase: str, state: Document) -> None:
        container = pod["spec"]["containers"][0]
        told = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "sha256:1",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        status = {"phase": phase, "startTime": pod["status"].get("startTime") or now()}
        body = {"status": {**status, "containerStatuses": [told]}}
        name = pod["metadata"]["name"]
        self._core.patch_namespaced_pod_status(name, self.namespace, body, _request_timeout=5)

    def _remove(self, pod: Document) -> None:
        options = client.V1DeleteOptions(grace_period_seconds=0)
        name = pod["metadata"]["name"]
        self._core.delete_namespaced_pod(name, self.namespace, body=options, _request_timeout=5)


def result_of(pod: Document) -> str:
    """Return the successful result of the pod's stage and run."""
    labels = pod["metadata"]["labels"]
    content = {
        "stage": labels["qlibshadow.io/stage"],
        "uid": labels["qlibshadow.io/run-uid"],
        "reason": "Succeeded",
        "message": "done",
        "dataset": DATASET,
        "metrics": METRICS,
        "configHash": "c0ffee",
    }
    return json.dumps(content)
