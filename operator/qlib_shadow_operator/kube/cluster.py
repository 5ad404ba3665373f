"""The calls to the API server, each with a timeout. They block: threads make them, the loop never does."""

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

from qlib_shadow_operator.kube.timeouts import CONNECT_SECONDS, LIST_CHUNK, READ_SECONDS, SOCKET_OPTIONS
from qlib_shadow_operator.kube.traffic import ObservedRequests
from qlib_shadow_operator.runs.names import (
    CHILD_SELECTOR,
    GROUP,
    LABEL_RUN_UID,
    LABEL_STAGE,
    MANAGER,
    PLURAL,
    VERSION,
)
from qlib_shadow_operator.runs.reasons import job_name_taken
from qlib_shadow_runner.contract import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from qlib_shadow_operator.kube.traffic import RequestObserver
    from qlib_shadow_operator.runs.decisions import Event
    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_runner.contract import Stage

CONFLICT: Final = 409
GONE: Final = 404
FORBIDDEN: Final = 403
"""Quota, policy or rights: somebody may change it."""
PERMANENT: Final = frozenset({400, 413, 422})
"""The same request will be refused for ever."""

TERMINATING: Final = "because it is being terminated"
"""What the API server says of a namespace."""

NOTE_MAX: Final = 1000
"""Characters; the API takes 1,024."""

Document = dict[str, Any]


class ClusterError(Exception):
    """A call failed and may be tried again."""


class ConflictError(ClusterError):
    """The object is not what it was thought to be; look again."""


class RefusedError(ClusterError):
    """The API server says no, and why."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class NamespaceTerminatingError(ClusterError):
    """The namespace is being deleted: nothing can be made in it any more."""


class NoClusterError(Exception):
    """There is no cluster to talk to."""


BATCH: Final = {"group": "batch", "version": "v1", "plural": "jobs"}
RUNS: Final = {"group": GROUP, "version": VERSION, "plural": PLURAL}
EVENTS: Final = {"group": "events.k8s.io", "version": "v1", "plural": "events"}

POLICIES: Final = {"group": "networking.k8s.io", "version": "v1", "plural": "networkpolicies"}


@dataclass(frozen=True)
class Cluster:
    """One connection pool to one API server.

    CustomObjectsApi serves every API group with plain documents; building typed models only to take them
    apart again would cost more than the rest of a look.
    """

    objects: Any
    core: Any
    close_connections: Callable[[], None]
    """Drops the idle connections: where one was cut, the others were too."""

    @classmethod
    def connect(cls, pool: int, observer: RequestObserver = lambda *_: None) -> Cluster:
        """Use the pod's service account, or else the kubeconfig of whoever runs this."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except ConfigException:
            _load_kubeconfig(configuration)
        return cls.over(configuration, pool, observer)

    @classmethod
    def over(cls, configuration: Any, pool: int, observer: RequestObserver = lambda *_: None) -> Cluster:
        """Use what is configured, over lines that do not die in silence."""
        configuration.connection_pool_maxsize = pool
        configuration.socket_options = SOCKET_OPTIONS
        # The queue tries again, later each time; here a dead line would only be waited for four times over.
        configuration.retries = False
        api = client.ApiClient(configuration)
        close_connections = api.rest_client.pool_manager.clear
        api.rest_client = ObservedRequests(api.rest_client, observer)  # type: ignore[assignment]
        return cls(client.CustomObjectsApi(api), client.CoreV1Api(api), close_connections)

    def crd_is_there(self) -> bool:
        """Ask whether QlibShadowRun is known to the API server."""
        try:
            found = self._call(self.objects.get_api_resources, GROUP, VERSION)
        except ConflictError:  # 404: not even the group
            return False
        return any(one.name == PLURAL for one in found.resources)

    def create_job(self, namespace: str, body: Document) -> Document:
        """Make a Job; the one that is there already is as good, if it has the same owner."""
        try:
            return self._call_for(
                self.objects.create_namespaced_custom_object, **BATCH, namespace=namespace, body=body
            )
        except ConflictError:
            name = body["metadata"]["name"]
            there = self._call_for(
                self.objects.get_namespaced_custom_object, **BATCH, namespace=namespace, name=name
            )
            return _require_same(there, body)

    def get_job(self, namespace: str, name: str) -> Document | None:
        """Read a Job as it is now, or None where there is none."""
        try:
            return self._call_for(
                self.objects.get_namespaced_custom_object, **BATCH, namespace=namespace, name=name
            )
        except ConflictError:
            return None

    def get_run(self, namespace: str, name: str) -> Document:
        """Read a run as it is now."""
        get = self.objects.get_namespaced_custom_object
        return self._call_for(get, **RUNS, namespace=namespace, name=name)

    def list_pods(self, namespace: str, run_uid: str, stage: Stage) -> list[Document]:
        """List the pods of a run's stage, as they are now."""
        selector = f"{LABEL_RUN_UID}={run_uid},{LABEL_STAGE}={stage}"
        page = self._read_pods(partial(self.core.list_namespaced_pod, namespace), selector)
        items: list[Document] = page["items"]
        return items

    def list_warnings(self, namespace: str, uid: str) -> list[Document]:
        """List the Events of type Warning about an object."""
        return self._list(EVENTS, namespace, field_selector=f"regarding.uid={uid},type=Warning")

    def list_network_policies(self, namespace: str) -> list[Document]:
        """List the NetworkPolicies of a namespace."""
        return self._list(POLICIES, namespace)

    def _list(self, which: dict[str, str], namespace: str, **selectors: str) -> list[Document]:
        list_objects = self.objects.list_namespaced_custom_object
        found = self._call_for(list_objects, **which, namespace=namespace, **selectors)
        items: list[Document] = found["items"]
        return items

    def set_job_suspended(self, namespace: str, name: str, *, suspended: bool) -> Document:
        """Pause or resume a Job."""
        body = {"spec": {"suspend": suspended}}
        patch = self.objects.patch_namespaced_custom_object
        return self._call_for(patch, **BATCH, namespace=namespace, name=name, body=body)

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Remove a Job and its pods; without the policy, the API would leave the pods behind."""
        self._delete(BATCH, namespace, name, uid)

    def patch_status(self, run: Run, change: Document) -> Document:
        """Change the status of exactly the version that was looked at."""
        body = {"metadata": {"resourceVersion": run.resource_version, "uid": run.uid}, "status": change}
        patch = self.objects.patch_namespaced_custom_object_status
        return self._call_for(patch, **RUNS, namespace=run.namespace, name=run.name, body=body)

    def create_run(self, namespace: str, body: Document) -> Document:
        """Make a run; a field that the CRD does not know is refused, where the default is to drop it."""
        create = self.objects.create_namespaced_custom_object
        return self._call_for(create, **RUNS, namespace=namespace, body=body, field_validation="Strict")

    def list_runs(self, namespace: str, **selectors: str) -> list[Document]:
        """List the runs that a label_selector or a field_selector picks."""
        found = self._call_for(
            self.objects.list_namespaced_custom_object, **RUNS, namespace=namespace, **selectors
        )
        items: list[Document] = found["items"]
        return items

    def delete_run(self, run: Run) -> None:
        """Remove a run; its Jobs follow."""
        self._delete(RUNS, run.namespace, run.name, run.uid)

    def post_event(self, run: Run, note: Event, now: datetime) -> None:
        """Tell what happened to whoever describes the run."""
        body = event(run, note, now)
        self._call(self.objects.create_namespaced_custom_object, **EVENTS, namespace=run.namespace, body=body)

    def list_documents(self, kind: str, namespace: str | None) -> Iterator[Document]:
        """List runs, jobs or pods as they are now; in pages, never ten thousand at a time."""
        ask = self._pods(namespace) if kind == "pods" else self._objects(kind, namespace)
        token: str | None = ""
        while token is not None:
            page = ask(limit=LIST_CHUNK, **({"_continue": token} if token else {}))
            token = page.get("metadata", {}).get("continue") or None
            items = page.pop("items")
            # One object at a time is let go: two pages, or one page twice, is what memory is measured by.
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
        # Gone, or another object of the same name: either way the one that was meant is no more.
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


def _require_same(there: Document, wanted: Document) -> Document:
    """Accept a Job that was made for the same run, and no other."""
    owner = wanted["metadata"]["ownerReferences"][0]["uid"]
    meta = there["metadata"]
    if any(one.get("uid") == owner for one in meta.get("ownerReferences", [])):
        return there
    raise RefusedError(job_name_taken(meta["name"]))


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
    return RefusedError(_error_text(error)) if error.status == FORBIDDEN else ClusterError(_error_text(error))


def _error_text(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"


def event(run: Run, note: Event, now: datetime) -> Document:
    """Write an Event about a run."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{run.name[:50]}-", "namespace": run.namespace},
        "type": "Warning" if note.warning else "Normal",
        "reason": str(note.reason),
        "note": note.message[:NOTE_MAX],
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
