"""The HTTP session for kopf's lists and watches, with our socket options and observed requests."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from qlib_shadow_operator.kube.timeouts import SOCKET_OPTIONS
from qlib_shadow_operator.kube.traffic import UNREACHABLE, describe

if TYPE_CHECKING:
    import ssl
    from types import SimpleNamespace

    from qlib_shadow_operator.kube.traffic import RequestObserver


def open_session(
    headers: dict[str, str], trust: ssl.SSLContext, observer: RequestObserver
) -> aiohttp.ClientSession:
    """Return the session. It asks for no compression, which would cost more time than the network saves."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trust, socket_factory=_socket),
        headers={"Accept-Encoding": "identity", **headers},
        trace_configs=[_trace(observer)],
    )


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    line = socket.socket(family, kind, protocol)
    for option in SOCKET_OPTIONS:
        line.setsockopt(*option)
    return line


def _trace(observer: RequestObserver) -> aiohttp.TraceConfig:
    def tell(begun: float, params: Any, code: str) -> None:
        call = describe(params.method, params.url.path, watch=params.url.query.get("watch") == "true")
        observer(call, code, time.monotonic() - begun)

    async def begin(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        context.begun = time.monotonic()

    async def end(_session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        tell(context.begun, params, str(params.response.status))

    async def fail(_session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        if not isinstance(params.exception, asyncio.CancelledError):
            tell(context.begun, params, UNREACHABLE)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace
