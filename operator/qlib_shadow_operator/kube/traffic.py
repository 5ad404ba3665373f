"""What a request to the API server is about: verb, resource and namespace."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from qlib_shadow_operator.runs.names import GROUP, PLURAL

PATH: Final = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
"""Matches after any prefix that the server's address has."""
RESOURCES: Final = {
    (GROUP, PLURAL): "runs",
    ("batch", "jobs"): "jobs",
    (None, "pods"): "pods",
    ("events.k8s.io", "events"): "events",
}
OTHER: Final = "other"
VERBS: Final = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
UNREACHABLE: Final = "unreachable"
"""Stands for the status code when no answer came."""


@dataclass(frozen=True)
class Call:
    """One request."""

    verb: str
    resource: str
    namespace: str | None


RequestObserver = Callable[[Call, str, float], None]
"""Is called for every request with the request, the answer's status code, and the seconds until it came."""


def describe(method: str, path: str, *, watch: bool = False) -> Call:
    """Return what a request is about."""
    found = PATH.search(path)
    if found is None:
        return Call("get", "discovery", None)
    resource = RESOURCES.get((found["group"], found["plural"]), OTHER)
    if found["subresource"]:
        resource += f"/{found['subresource']}"
    reading = "watch" if watch else ("get" if found["name"] else "list")
    return Call(VERBS.get(method.upper(), reading), resource, found["namespace"])


class ObservedRequests:
    """Wraps the client's request sender, and reports each request to an observer."""

    def __init__(self, sender: Any, observer: RequestObserver) -> None:
        self._sender = sender
        self._observer = observer

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send a request and return the answer."""
        call, begun, code = describe(method, url.partition("?")[0]), time.monotonic(), UNREACHABLE
        try:
            answer = self._sender.request(method, url, **options)
            code = str(answer.status)
        finally:
            self._observer(call, code, time.monotonic() - begun)
        return answer
