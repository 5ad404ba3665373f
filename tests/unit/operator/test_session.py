"""The HTTP session for kopf's lists and watches: observed like every other request, never compressed."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import pytest
from aiohttp import web

from qlib_shadow_operator.kube.session import _socket, open_session
from qlib_shadow_operator.kube.timeouts import SOCKET_OPTIONS
from qlib_shadow_operator.kube.traffic import UNREACHABLE, Call

PATH = "/apis/qlibshadow.io/v1alpha1/namespaces/research/qlibshadowruns"
Told = list[tuple[Call, str]]


async def visit(path: str, status: int = 200) -> tuple[Told, dict[str, str]]:
    """Send a request; return the observed calls, and the headers that the server received."""
    told: Told = []
    headers: dict[str, str] = {}

    async def answer(request: web.Request) -> web.Response:
        headers.update(request.headers)
        return web.Response(status=status, text="{}")

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    async with session(told, {"Authorization": "Bearer x"}) as one, one.get(address) as response:
        await response.read()
    await runner.cleanup()
    return told, headers


def session(told: Told, headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    """Return an observed session."""
    trust = ssl.create_default_context()
    return open_session(headers or {}, trust, lambda call, code, _seconds: told.append((call, code)))


def test_watch_is_observed_as_watch():
    """When its answer begins; its events are delivered by kopf's handlers."""
    told, headers = asyncio.run(visit(f"{PATH}?watch=true&timeoutSeconds=45"))
    assert told == [(Call("watch", "runs", "research"), "200")]
    assert (headers["Authorization"], headers["Accept-Encoding"]) == ("Bearer x", "identity")


def test_session_sets_the_socket_options():
    """By the same socket options as all connections."""
    with _socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))) as line:
        assert [line.getsockopt(level, option) for level, option, _ in SOCKET_OPTIONS] == [
            value for _, _, value in SOCKET_OPTIONS
        ]


def test_refusal_is_observed_with_its_code():
    """A refusal is an answer."""
    told, _ = asyncio.run(visit(f"{PATH}?limit=500", 403))
    assert told == [(Call("list", "runs", "research"), "403")]


def test_missing_answer_is_observed():
    """A request that we cancelled is not reported."""
    told: Told = []

    async def ask(port: int) -> None:
        async with session(told) as one:
            await one.get(f"http://127.0.0.1:{port}{PATH}")

    async def give_up(listener: socket.socket) -> None:
        task = asyncio.create_task(ask(listener.getsockname()[1]))
        line, _ = await asyncio.to_thread(listener.accept)
        task.cancel()
        with line, pytest.raises(asyncio.CancelledError):
            await task

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asyncio.run(give_up(listener))
    assert told == []
    with pytest.raises(aiohttp.ClientConnectionError):
        asyncio.run(ask(port))
    assert told == [(Call("list", "runs", "research"), UNREACHABLE)]
