"""A connection that was cut without notice is detected, given up, and not waited for twice."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from qlib_shadow_operator.handlers import kopf_settings
from qlib_shadow_operator.kube import cluster as cluster_module
from qlib_shadow_operator.kube.cluster import Cluster, ClusterError
from qlib_shadow_operator.kube.timeouts import (
    CONNECT_SECONDS,
    LIST_CHUNK,
    READ_SECONDS,
    RECOVERY_LIMIT,
    SOCKET_OPTIONS,
    WATCH_BACKOFFS,
    WATCH_SECONDS,
    WATCH_SILENCE_LIMIT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class ApiServer(ThreadingHTTPServer):
    """Answers every list, until its connections are cut: then the open ones receive nothing more."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.lines = 0
        self.agents: list[str | None] = []
        self.cut: set[int] = set()
        self.items: list[dict[str, Any]] = []
        self.end = threading.Event()
        self.meeting = threading.Barrier(1)
        """Holds answers back until as many requests are waiting."""

    def cut_the_lines(self) -> None:
        """Answer nothing more on the connections that are open now."""
        self.cut = set(range(1, self.lines + 1))


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    server: ApiServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Count the connections."""
        super().setup()
        self.server.lines += 1
        self.line = self.server.lines

    def do_GET(self) -> None:
        """Answer, or never."""
        self.server.agents.append(self.headers["User-Agent"])
        if self.line in self.server.cut:
            self.server.end.wait()
            self.close_connection = True
            return
        self.server.meeting.wait(10)
        asked = parse_qs(urlsplit(self.path).query)
        begin, size = int(asked.get("continue", ["0"])[0]), int(asked["limit"][0])
        rest = len(self.server.items) - begin - size
        told = {"continue": str(begin + size)} if rest > 0 else {}
        body = json.dumps({"items": self.server.items[begin : begin + size], "metadata": told}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """Yield a running API server."""
    server = ApiServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.end.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    """Return a client of it."""
    return Cluster.over(client.Configuration(host=f"http://127.0.0.1:{server.server_port}"), pool=4)


def list_runs(cluster: Cluster) -> list[dict[str, Any]]:
    """Send a request."""
    return list(cluster.list_documents("runs", None))


def test_calls_share_connections(server: ApiServer, cluster: Cluster):
    """Sequential calls need only one."""
    for kind in ("runs", "jobs", "pods"):
        assert list(cluster.list_documents(kind, None)) == []
    assert server.lines == 1


def test_requests_name_the_operator(server: ApiServer, cluster: Cluster):
    """The API server makes the field manager of it, and the audit log shows it."""
    list_runs(cluster)
    assert server.agents == ["qlib-shadow-operator/v1alpha1"]


@pytest.mark.parametrize("kind", ["runs", "jobs", "pods"])
@pytest.mark.parametrize("namespace", ["research", None])
def test_list_is_read_in_pages(server: ApiServer, cluster: Cluster, kind: str, namespace: str | None):
    """All pages are read."""
    server.items = [{"number": number} for number in range(2 * LIST_CHUNK + 1)]
    assert list(cluster.list_documents(kind, namespace)) == server.items


def test_cut_connection_is_closed_and_not_reused(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    """Nor are the others that were open when it was cut: each would cost the same wait."""
    server.meeting = threading.Barrier(3)
    threads = [threading.Thread(target=list_runs, args=(cluster,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.meeting = threading.Barrier(1)
    assert server.lines == 3
    server.cut_the_lines()
    sentence = r"^the API server does not answer: .*Read timed out"
    with monkeypatch.context() as hurried:
        hurried.setattr(cluster_module, "READ_SECONDS", 0.1)
        with pytest.raises(ClusterError, match=sentence):
            list_runs(cluster)
    assert list_runs(cluster) == []


def test_unreachable_api_server_raises_cluster_error(cluster: Cluster, server: ApiServer):
    """No traceback; the call is retried later."""
    server.socket.close()
    with pytest.raises(ClusterError, match=r"^the API server does not answer: "):
        list_runs(cluster)


def test_dead_watch_is_detected_in_time():
    """The API server ends a healthy watch well before the silence limit; recovery time is bounded."""
    watching = kopf_settings().watching
    assert watching.server_timeout == WATCH_SECONDS < WATCH_SILENCE_LIMIT == watching.inactivity_timeout
    assert RECOVERY_LIMIT == WATCH_SILENCE_LIMIT + CONNECT_SECONDS + max(WATCH_BACKOFFS) <= 70


def test_kopf_requests_have_timeouts():
    """Without them, kopf would wait for five minutes."""
    networking = kopf_settings().networking
    assert (networking.connect_timeout, networking.request_timeout) == (CONNECT_SECONDS, READ_SECONDS)
    assert networking.error_backoffs == WATCH_BACKOFFS
    assert 240 < sum(WATCH_BACKOFFS) < 360


def test_kernel_accepts_the_socket_options():
    """On every connection."""
    with socket.socket() as one:
        for level, option, value in SOCKET_OPTIONS:
            one.setsockopt(level, option, value)
            assert one.getsockopt(level, option) == value
