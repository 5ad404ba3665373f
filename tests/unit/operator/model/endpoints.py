"""The API server as one operator's client sees it: over a connection that loses requests and answers.

It replaces the Kubernetes client's CustomObjectsApi and CoreV1Api, so that the operator's own
kube.cluster.Cluster, with its translation of errors, is part of what is tested.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from kubernetes.client.exceptions import ApiException
from tests.unit.operator.model.apiserver import JOBS, PODS, RUNS, labels_of, refusal
from urllib3.exceptions import ProtocolError

from qlib_shadow_operator.runs.names import LABEL_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.operator.model.apiserver import ApiServer, Document


CONFLICT = 409
FORBIDDEN = 403
PERMANENT = 422


class Refused(Protocol):
    """Is called for a refused Job."""

    def __call__(self, job: Document, *, permanent: bool) -> None:
        """Record it."""


class Killed(BaseException):
    """The operator's process was killed: no handler may catch it."""


class Mischief(Enum):
    """What can go wrong with one call."""

    NONE = auto()
    BUSY = auto()
    """The server answers with an error."""
    REQUEST_LOST = auto()
    ANSWER_LOST = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()
    OVERTAKEN = auto()
    """The watches deliver everything before the call's answer arrives."""
    BETWEEN = auto()
    """Something else happens between the decision and the call."""


@dataclass
class Endpoints:
    """The calls of the operator."""

    server: ApiServer
    overtake: Callable[[], None]
    """Deliver all watch events."""
    go_on: Callable[[], None]
    """Let another actor act."""
    posted: Callable[[Document], None]
    refused: Refused
    plan: deque[Mischief] = field(default_factory=deque)
    is_down: bool = False
    hides_events: bool = False
    """Whether reading Events fails, as under an older Role."""

    def _call(self, effect: Callable[[], Any]) -> Any:
        now = self.plan.popleft() if self.plan else Mischief.NONE
        if now is Mischief.KILLED_BEFORE:
            raise Killed
        if now is Mischief.REQUEST_LOST or self.is_down:
            raise ProtocolError("the line is dead")
        if now is Mischief.BUSY:
            raise refusal(429, "too many requests")
        if now is Mischief.BETWEEN:
            self.go_on()
        answer = effect()
        if now is Mischief.KILLED_AFTER:
            raise Killed
        if now is Mischief.ANSWER_LOST:
            raise ProtocolError("the line is dead")
        if now is Mischief.OVERTAKEN:
            self.overtake()
        return answer

    def create_namespaced_custom_object(self, *, plural: str, body: Document, **_: Any) -> Document:
        """Create a Job or an Event."""
        if plural == "events":
            self._call(lambda: self.posted(body))
            return body
        found: Document = self._call(lambda: self._make_job(body))
        return found

    def _make_job(self, body: Document) -> Document:
        try:
            return self.server.create(JOBS, body)
        except ApiException as error:
            if error.status != CONFLICT:
                self.refused(body, permanent=error.status == PERMANENT)
            raise

    def get_namespaced_custom_object(self, *, name: str, plural: str, **_: Any) -> Document:
        """Return a Job or a run."""
        found: Document = self._call(lambda: self.server.read(kind_of(plural), name))
        return found

    def patch_namespaced_custom_object(self, *, name: str, body: Document, plural: str, **_: Any) -> Document:
        """Suspend or resume a Job, or restore its marks; only Kueue may suspend or resume a queued Job."""
        labels = labels_of(self.server.read(kind_of(plural), name))
        meddles = "spec" in body and LABEL_QUEUE in labels
        assert not meddles, f"the operator meddles with the queued Job {name}: {body}"
        found: Document = self._call(lambda: self.server.patch(kind_of(plural), name, body))
        return found

    def patch_namespaced_custom_object_status(self, *, name: str, body: Document, **_: Any) -> Document:
        """Write a run's status."""
        found: Document = self._call(lambda: self._write_status(name, body))
        return found

    def _write_status(self, name: str, body: Document) -> Document:
        found = self.server.patch(RUNS, name, body)
        assert found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"], (
            f"a patch that changes nothing was sent: {body}"
        )
        return found

    def delete_namespaced_custom_object(self, *, name: str, body: Any, plural: str, **_: Any) -> None:
        """Delete a Job or a run with this uid."""
        assert body.propagation_policy == "Background"
        self._call(lambda: self.server.delete(kind_of(plural), name, body.preconditions.uid))

    def list_namespaced_custom_object(self, *, plural: str, **selectors: Any) -> Document:
        """Return Events about an object, or NetworkPolicies."""
        if plural == "events" and self.hides_events:
            raise refusal(FORBIDDEN, "events are forbidden")
        if plural == "events":
            uid = selectors["field_selector"].removeprefix("regarding.uid=").removesuffix(",type=Warning")
            found: Document = self._call(lambda: {"items": self.server.warnings.get(uid, [])})
            return found
        assert plural == "networkpolicies"
        policies: Document = self._call(lambda: {"items": self.server.policies})
        return policies

    def list_cluster_custom_object(self, *, plural: str, **_: Any) -> Document:
        """Return runs or Jobs."""
        found: Document = self._call(lambda: {"items": self.server.selected(kind_of(plural))})
        return found

    def list_pod_for_all_namespaces(self, **_: Any) -> Answer:
        """Return all pods, unparsed."""
        return Answer(self._call(lambda: json.dumps({"items": self.server.selected(PODS)})))

    def list_namespaced_pod(self, _namespace: str, *, label_selector: str, **_: Any) -> Answer:
        """Return the pods with these labels, unparsed."""
        wanted = dict(one.split("=") for one in label_selector.split(","))
        pods = self.server.objects[PODS].values()
        found = [pod for pod in pods if wanted.items() <= labels_of(pod).items()]
        return Answer(self._call(lambda: json.dumps({"items": found})))


@dataclass(frozen=True)
class Answer:
    """An unparsed response."""

    data: str


def kind_of(plural: str) -> str:
    """Return the model's name of a kind."""
    return JOBS if plural == "jobs" else RUNS
