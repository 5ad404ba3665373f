"""An API server with finished runs only: it lists them in pages, and its watches deliver nothing."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.unit.operator.memory.history import finished_job, finished_pod, finished_run

from qlib_shadow_runner.contract import API_VERSION, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: Final[dict[str, tuple[Callable[[int], dict[str, Any]], ...]]] = {
    "qlibshadowruns": (finished_run,),
    "jobs": tuple(partial(finished_job, stage=stage) for stage in Stage),
    "pods": tuple(partial(finished_pod, stage=stage) for stage in Stage),
}
GROUPS: Final = {
    "batch/v1": {"jobs": "Job"},
    API_VERSION: {"qlibshadowruns": "QlibShadowRun"},
}
CORE: Final = {"pods": "Pod", "namespaces": "Namespace"}
VERBS: Final = ["create", "delete", "get", "list", "patch", "watch"]


class Past(ThreadingHTTPServer):
    """Serves this many finished runs."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, runs: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.runs = runs
        self.end = threading.Event()


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    server: Past
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a discovery, list or watch request."""
        path, asked = urlsplit(self.path).path.rstrip("/"), parse_qs(urlsplit(self.path).query)
        plural = path.rpartition("/")[2]
        if plural not in KINDS:
            self._send(discovery(path))
        elif "watch" in asked:
            self._watch()
        else:
            self._send(page(plural, self.server.runs, asked))

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.end.wait()
        self.close_connection = True

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def page(plural: str, runs: int, asked: dict[str, list[str]]) -> dict[str, Any]:
    """Return one page of a list."""
    makers = KINDS[plural]
    begin, limit = int(asked.get("continue", ["0"])[0]), int(asked["limit"][0])
    end = min(begin + limit, runs * len(makers))
    items = [makers[place % len(makers)](place // len(makers)) for place in range(begin, end)]
    more = {"continue": str(end)} if end < runs * len(makers) else {}
    return {"kind": "List", "metadata": {"resourceVersion": "1", **more}, "items": items}


def discovery(path: str) -> dict[str, Any]:
    """Return the discovery document of a path."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "groups": [group(version) for version in GROUPS]}
    version = path.removeprefix("/apis/")
    resources = [
        {"name": plural, "singularName": "", "namespaced": kind != "Namespace", "kind": kind, "verbs": VERBS}
        for plural, kind in GROUPS.get(version, CORE).items()
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def group(version: str) -> dict[str, Any]:
    """Return an API group with one version."""
    name = version.partition("/")[0]
    about = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": name, "versions": [about], "preferredVersion": about}
