"""The calls to the API server, each with a timeout. They block, so only threads make them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from qlib_shadow_operator.kube.marks import belongs_to, job_with_marks, missing_marks
from qlib_shadow_operator.kube.timeouts import CONNECT_SECONDS, LIST_CHUNK, READ_SECONDS, SOCKET_OPTIONS
from qlib_shadow_operator.kube.traffic import ObservedRequests
from qlib_shadow_operator.runs.names import (
    CHILD_SELECTOR,
    GROUP,
    MANAGER,
    PLURAL,
    VERSION,
)
from qlib_shadow_operator.runs.reasons import shorten
from qlib_shadow_operator.runs.start_reasons import job_name_taken
from qlib_shadow_runner.contract import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from qlib_shadow_operator.kube.traffic import RequestObserver
    from qlib_shadow_operator.runs.decisions import Event
    from qlib_shadow_operator.runs.model import Run

CONFLICT: Final = 409
GONE: Final = 404
FORBIDDEN: Final = 403
"""Refused by a quota, a policy or missing rights, which a user can change."""
PERMANENT: Final = frozenset({400, 413, 422})
"""The API server will refuse the same request every time."""

TERMINATING: Final = "because it is being terminated"
"""Part of the API server's message about a namespace that is being deleted."""

NOTE_MAX: Final = 1000
"""Characters of an Event's note; the API accepts 1,024."""

Document = dict[str, Any]


class ClusterError(Exception):
    """A call failed and may be tried again."""


class ConflictError(ClusterError):
    """The object has changed or is gone; it must be read again."""


class RefusedError(ClusterError):
    """The API server refused a request; the message says why."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class NameTakenError(RefusedError):
    """A Job of this name exists that is not the run's."""


class ServerFailedError(ClusterError):
    """The API server, or a webhook that it asks, cannot do this now; the message says why."""


class NamespaceTerminatingError(ClusterError):
    """The namespace is being deleted, so nothing can be created in it."""


class NoClusterError(Exception):
    """There is no cluster to talk to."""


BATCH: Final = {"group": "batch", "version": "v1", "plural": "jobs"}
RUNS: Final = {"group": GROUP, "version": VERSION, "plural": PLURAL}
EVENTS: Final = {"group": "events.k8s.io", "version": "v1", "plural": "events"}

POLICIES: Final = {"group": "networking.k8s.io", "version": "v1", "plural": "networkpolicies"}


@dataclass(frozen=True)
class Cluster:
    """One connection pool to one API server.

    CustomObjectsApi serves every API group with plain documents. Typed models would cost more than the rest
    of a reconcile pass.
    """

    objects: Any
    core: Any
    close_connections: Callable[[], None]
    """Closes the idle connections: where one was cut, the others probably were too."""

    @classmethod
    def connect(cls, pool: int, observer: RequestObserver = lambda *_: None) -> Cluster:
        """Connect with the pod's service account, or else with the user's kubeconfig."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except ConfigException:
            _load_kubeconfig(configuration)
        return cls.over(configuration, pool, observer)

    @classmethod
    def over(cls, configuration: Any, pool: int, observer: RequestObserver = lambda *_: None) -> Cluster:
        """Return a connection by this configuration, with socket options that detect a dead connection."""
        configuration.connection_pool_maxsize = pool
        configuration.socket_options = SOCKET_OPTIONS
        # The work queue retries with backoff; retries here would wait for a dead connection four times.
        configuration.retries = False
        api = client.ApiClient(configuration)
        # The API server takes the name in front of the slash for the field manager of every write.
        api.user_agent = f"{MANAGER}/{VERSION}"
        close_connections = api.rest_client.pool_manager.clear
        api.rest_client = ObservedRequests(api.rest_client, observer)  # type: ignore[assignment]
        return cls(client.CustomObjectsApi(api), client.CoreV1Api(api), close_connections)

    def crd_is_there(self) -> bool:
        """Return whether the API server knows QlibShadowRun."""
        try:
            found = self._call(self.objects.get_api_resources, GROUP, VERSION)
        except ConflictError:  # 404: the group does not exist either
            return False
        return any(one.name == PLURAL for one in found.resources)

    def create_job(self, namespace: str, body: Document) -> Document:
        """Create a Job and return it, or return the run's Job of that name, with its marks restored.

        Where a webhook removes them at once, it is returned as one that is out of sight.
        """
        try:
            create = self.objects.create_namespaced_custom_object
            return job_with_marks(self._call_for(create, **BATCH, namespace=namespace, body=body))
        except ConflictError:
            name = body["metadata"]["name"]
            there = self._call_for(
                self.objects.get_namespaced_custom_object, **BATCH, namespace=namespace, name=name
            )
            return self._mark_again(namespace, there, body)

    def _mark_again(self, namespace: str, there: Document, wanted: Document) -> Document:
        name = wanted["metadata"]["name"]
        if not belongs_to(there, wanted["metadata"]["ownerReferences"][0]["uid"]):
            raise NameTakenError(job_name_taken(name))
        change = missing_marks(there, wanted)
        if not change:
            return there
        patch = self.objects.patch_namespaced_custom_object
        body = {"metadata": change}
        return job_with_marks(self._call_for(patch, **BATCH, namespace=namespace, name=name, body=body))

    def get_job(self, namespace: str, name: str) -> Document | None:
        """Return a Job as it is now, or None if there is none."""
        try:
            return self._call_for(
                self.objects.get_namespaced_custom_object, **BATCH, namespace=namespace, name=name
            )
        except ConflictError:
            return None

    def get_run(self, namespace: str, name: str) -> Document:
        """Return a run as it is now."""
        get = self.objects.get_namespaced_custom_object
        return self._call_for(get, **RUNS, namespace=namespace, name=name)

    def list_pods(self, namespace: str, job: str) -> list[Document]:
        """Return the pods of a Job as they are now, by the label of the Job controller."""
        selector = f"job-name={job}"
        page = self._read_pods(partial(self.core.list_namespaced_pod, namespace), selector)
        items: list[Document] = page["items"]
        return items

    def list_warnings(self, namespace: str, uid: str) -> list[Document]:
        """Return the Events of type Warning about an object."""
        return self._list(EVENTS, namespace, field_selector=f"regarding.uid={uid},type=Warning")

    def list_network_policies(self, namespace: str) -> list[Document]:
        """Return the NetworkPolicies of a namespace."""
        return self._list(POLICIES, namespace)

    def _list(self, which: dict[str, str], namespace: str, **selectors: str) -> list[Document]:
        list_objects = self.objects.list_namespaced_custom_object
        found = self._call_for(list_objects, **which, namespace=namespace, **selectors)
        items: list[Document] = found["items"]
        return items

    def set_job_suspended(self, namespace: str, name: str, *, suspended: bool) -> Document:
        """Suspend or resume a Job, and return it."""
        body = {"spec": {"suspend": suspended}}
        patch = self.objects.patch_namespaced_custom_object
        return job_with_marks(self._call_for(patch, **BATCH, namespace=namespace, name=name, body=body))

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job and its pods; without a propagation policy the API would keep the pods."""
        self._delete(BATCH, namespace, name, uid)

    def patch_status(self, run: Run, change: Document) -> Document:
        """Patch the status of exactly the version that was read."""
        body = {"metadata": {"resourceVersion": run.resource_version, "uid": run.uid}, "status": change}
        patch = self.objects.patch_namespaced_custom_object_status
        return self._call_for(patch, **RUNS, namespace=run.namespace, name=run.name, body=body)

    def create_run(self, namespace: str, body: Document) -> Document:
        """Create a run; a field that the CRD does not know is refused, not dropped."""
        create = self.objects.create_namespaced_custom_object
        return self._call_for(create, **RUNS, namespace=namespace, body=body, field_validation="Strict")

    def list_runs(self, namespace: str, **selectors: str) -> list[Document]:
        """Return the runs that a label_selector or a field_selector matches."""
        found = self._call_for(
            self.objects.list_namespaced_custom_object, **RUNS, namespace=namespace, **selectors
        )
        items: list[Document] = found["items"]
        return items

    def delete_run(self, run: Run) -> None:
        """Delete a run; Kubernetes then deletes its Jobs."""
        self._delete(RUNS, run.namespace, run.name, run.uid)

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Post an Event about a run."""
        body = event(run, note, now)
        self._call(self.objects.create_namespaced_custom_object, **EVENTS, namespace=run.namespace, body=body)

    def list_documents(self, kind: str, namespace: str | None) -> Iterator[Document]:
        """Yield runs, jobs or pods as they are now, listed in pages to limit memory."""
        ask = self._pods(namespace) if kind == "pods" else self._objects(kind, namespace)
        token: str | None = ""
        while token is not None:
            page = ask(limit=LIST_CHUNK, **({"_continue": token} if token else {}))
            token = page.get("metadata", {}).get("continue") or None
            items = page.pop("items")
            # Release each object as soon as it is yielded: holding two pages would double the peak memory.
            while items:
                yield items.pop(0)

    def _objects(self, kind: str, namespace: str | None) -> Callable[..., Document]:
        which: dict[str, Any] = RUNS if kind == "runs" else {**BATCH, "label_selector": CHILD_SELECTOR}
        if namespace:
            return partial(
                self._call_for, self.objects.list_namespaced_custom_object, namespace=namespace, **which
            )
        return partial(self._call_for, self.objects.list_cluster_custom_object, **which)

    def _pods(self, namespace: str | None) -> Callable[..., Document]:
        everywhere, there = self.core.list_pod_for_all_namespaces, self.core.list_namespaced_pod
        method = partial(there, namespace) if namespace else everywhere
        return partial(self._read_pods, method, CHILD_SELECTOR)

    def _read_pods(self, method: Callable[..., Any], selector: str, **options: Any) -> Document:
        def read(**more: Any) -> Any:
            return json.loads(method(label_selector=selector, _preload_content=False, **more).data)

        return self._call_for(read, **options)

    def _delete(self, which: dict[str, str], namespace: str, name: str, uid: str) -> None:
        options = client.V1DeleteOptions(
            propagation_policy="Background", preconditions=client.V1Preconditions(uid=uid)
        )
        # 404 or a uid conflict both mean that the intended object no longer exists.
        with contextlib.suppress(ConflictError):
            delete = self.objects.delete_namespaced_custom_object
            self._call(delete, **which, namespace=namespace, name=name, body=options)

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
        except ApiException as error:
            raise _translate(error) from error
        except HTTPError as error:
            self.close_connections()
            raise ClusterError(f"the API server does not answer: {error}") from error

    def _call_for(self, method: Callable[..., Any], **kwargs: Any) -> Document:
        found: Document = self._call(method, **kwargs)
        return found


def _load_kubeconfig(configuration: Any) -> None:
    try:
        config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise NoClusterError(f"no cluster to talk to: {error}; run in a pod, or set KUBECONFIG") from error


def _translate(error: Any) -> ClusterError:
    if error.status in {CONFLICT, GONE}:
        return ConflictError(_error_text(error))
    if error.status == FORBIDDEN and TERMINATING in _error_text(error):
        return NamespaceTerminatingError(_error_text(error))
    if error.status in PERMANENT:
        return RefusedError(_error_text(error), permanent=True)
    if error.status == FORBIDDEN:
        return RefusedError(_error_text(error))
    return ServerFailedError(_error_text(error)) if error.status else ClusterError(_error_text(error))


def _error_text(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"


def event(run: Run, note: Event, now: datetime) -> Document:
    """Return an Event about a run."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{run.name[:50]}-", "namespace": run.namespace},
        "type": "Warning" if note.warning else "Normal",
        "reason": str(note.reason),
        "note": shorten(note.message, NOTE_MAX),
        "action": "Reconcile",
        "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": MANAGER,
        "reportingInstance": MANAGER,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
            "resourceVersion": run.resource_version,
        },
    }
