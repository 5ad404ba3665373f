"""The HTTP endpoint for Prometheus and the kubelet's probes."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from functools import partial
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter

from qlib_shadow_operator.loop.probes import ProbeResult
from qlib_shadow_operator.telemetry import endpoint
from qlib_shadow_operator.telemetry.endpoint import Endpoint, PortTakenError, metrics_page, report_page

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORTS = {"/well": ProbeResult((), {"api": 1.5}), "/ill": ProbeResult(("it hurts",), {})}


@pytest.fixture
def address() -> Iterator[str]:
    """Serve two probe answers and one metric at a free port."""
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    pages = {path: report_page(partial(REPORTS.__getitem__, path)) for path in REPORTS}
    server = Endpoint(0, {**pages, "/metrics": metrics_page(registry)})
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def get(address: str) -> tuple[int, str, str]:
    """Send a request as a probe does."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_healthy_probe_is_200(address: str):
    """The body has the ages."""
    status, kind, body = get(f"{address}/well")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "reasons": [], "secondsSince": {"api": 1.5}}


def test_unhealthy_probe_is_503_with_reasons(address: str):
    """`curl` shows the sentence; the URL's query does not matter."""
    status, _, body = get(f"{address}/ill?verbose")
    assert status == 503
    assert json.loads(body) == {"ok": False, "reasons": ["it hurts"], "secondsSince": {}}


def test_metrics_are_in_the_text_format(address: str):
    """The format that every scraper reads."""
    status, kind, body = get(f"{address}/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=0.0.4")
    assert "things_total 1.0" in body


def test_unknown_path_lists_the_pages(address: str):
    """A 404 that lists the pages."""
    assert get(f"{address}/") == (404, "text/plain", "the pages are /well, /ill, /metrics\n")


def test_endpoint_listens_on_ipv4_and_ipv6(address: str):
    """A cluster may use IPv4 or IPv6."""
    hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    assert [get(address.replace("127.0.0.1", host) + "/well")[0] for host in hosts] == [200] * len(hosts)


def test_clients_that_send_nothing_keep_no_other_from_an_answer(
    address: str, monkeypatch: pytest.MonkeyPatch
):
    """Of too many, those that came first are ended."""
    monkeypatch.setattr(endpoint._RequestHandler, "timeout", 600)
    connect = partial(socket.create_connection, ("127.0.0.1", int(address.rpartition(":")[2])), 10)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect()) for _ in range(endpoint.MOST_CLIENTS + 9)]
        assert get(f"{address}/well")[0] == 200
        assert [client.recv(1) for client in clients[:9]] == [b""] * 9


def test_taken_port_is_one_sentence():
    """It names the setting."""
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError) as raised:
            Endpoint(port, {})
    assert str(raised.value) == (
        f"port {port} cannot be served: Address already in use; set QLIB_SHADOW_HEALTH_PORT to a free one"
    )
