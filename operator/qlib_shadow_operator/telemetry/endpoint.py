"""The HTTP server for metrics and probes, in threads, so that it answers even if the event loop hangs."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from qlib_shadow_operator.loop.probes import ProbeResult

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Returns a status, a content type and a body."""
PATIENCE: Final = 10.0
"""Seconds that a client may send and read nothing."""
MOST_CLIENTS: Final = 32
"""Each has a thread; Prometheus and the kubelet are three."""


class PortTakenError(Exception):
    """The port cannot be used; the message is for the person who set it."""


class Endpoint(ThreadingHTTPServer):
    """Listens on all addresses, IPv4 and IPv6 where both exist."""

    daemon_threads = True
    request_queue_size = 2 * MOST_CLIENTS

    def __init__(self, port: int, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self._clients: dict[socket.socket, None] = {}
        self._changing = threading.Lock()
        both = socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if both else socket.AF_INET
        try:
            super().__init__(("", port), _RequestHandler)
        except OSError as error:
            raise PortTakenError(
                f"port {port} cannot be served: {error.strerror}; set QLIB_SHADOW_HEALTH_PORT to a free one"
            ) from error
        threading.Thread(target=self.serve_forever, name="endpoint", daemon=True).start()

    def server_bind(self) -> None:
        """Accept IPv4 connections, too."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; of too many clients, end the one that came first."""
        with self._changing:
            self._clients[request] = None
            first = next(iter(self._clients)) if len(self._clients) > MOST_CLIENTS else None
            if first is not None:
                del self._clients[first]
                with contextlib.suppress(OSError):  # it has gone
                    first.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a client that was answered or has gone."""
        with self._changing:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log errors of the pages; that a client has gone is none."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _RequestHandler(BaseHTTPRequestHandler):
    server: Endpoint
    timeout = PATIENCE

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = page() if page else _not_found(self.server.pages)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Keep probes out of the log."""


def _not_found(pages: Mapping[str, Page]) -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.NOT_FOUND, "text/plain", f"the pages are {', '.join(pages)}\n".encode()


def metrics_page(registry: CollectorRegistry) -> Page:
    """Return a page that serves the registry's metrics."""
    return lambda: (HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))


def report_page(report: Callable[[], ProbeResult]) -> Page:
    """Return a page that serves a probe's answer as JSON; the kubelet reads only the HTTP status."""

    def page() -> tuple[HTTPStatus, str, bytes]:
        found = report()
        status = HTTPStatus.OK if found.ok else HTTPStatus.SERVICE_UNAVAILABLE
        body = {"ok": found.ok, "reasons": found.reasons, "secondsSince": found.ages}
        return status, "application/json", json.dumps(body).encode() + b"\n"

    return page
