"""A client that keeps the server waiting is ended; the others are answered, and no descriptor is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from anyio import to_thread
from starlette.responses import StreamingResponse
from uvicorn.server import ServerState

from qlib_shadow_runner.storage.volume import Volume
from qlib_shadow_runner.ui import connection
from qlib_shadow_runner.ui.app import application
from testcluster import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send
    from tests.unit.runner.ui.conftest import Served

HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
STARTED = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


async def short_answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with two letters."""
    await send(STARTED)
    await send({"type": "http.response.body", "body": b"ok"})


async def endless_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without end, a little at a time so that other clients are answered too."""

    async def content() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0)

    await StreamingResponse(content())(scope, receive, send)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[int, ServerState]]:
    """Listen in this process, with the class of connections that the pages have."""
    config = uvicorn.Config(
        app, http=connection.Connection, log_config=None, lifespan="off", ws="none", timeout_keep_alive=1
    )
    state, loop = ServerState(), asyncio.get_running_loop()
    listening = await loop.create_server(lambda: connection.Connection(config, state, {}), "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], state


async def without_connections(state: ServerState) -> None:
    """Return when every connection has ended, and with it the work for it."""
    while state.connections or state.tasks:  # noqa: ASYNC110 - the server tells nothing
        await asyncio.sleep(0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a client for a fraction of a second only."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "begin",
    [b"", b"G", HALF, b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1", REQUEST + HALF],
    ids=["nothing", "a letter", "half of the headers", "half of a body", "half of a second request"],
)
@pytest.mark.parametrize("trickles", [False, True])
def test_a_request_that_is_never_whole_is_ended(begin: bytes, *, trickles: bool):
    """Whether the client falls silent or sends a letter now and then."""

    async def scenario() -> None:
        async with served(short_answer) as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin)

            async def trickle() -> None:
                while trickles:
                    await asyncio.sleep(0.05)
                    writer.write(b"x")

            trickling = asyncio.create_task(trickle())
            with contextlib.suppress(ConnectionError):
                while await reader.read(100):
                    pass
            trickling.cancel()
            writer.close()
            await without_connections(state)

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_is_not_read_is_ended():
    """The client would keep a descriptor of the file, and memory."""

    async def scenario() -> None:
        async with served(endless_answer) as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(REQUEST)
            await reader.readexactly(1)
            await without_connections(state)
            writer.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_of_too_many_connections_the_one_waited_for_longest_is_ended(monkeypatch: pytest.MonkeyPatch):
    """Neither the newest nor one that reads its answer."""
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)

    async def scenario() -> None:
        async with served(endless_answer) as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await reader.readexactly(100_000)
            others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for number in range(20):
                newest = await asyncio.open_connection("127.0.0.1", port)
                await reader.readexactly(1_000_000)
                longest = others.pop(0)
                assert await longest[0].read() == b"", number
                assert len(state.connections) == 3
                others.append(newest)
                longest[1].close()
            for _, open_writer in [(reader, writer), *others]:
                open_writer.close()
            await without_connections(state)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_hundreds_of_half_requests_leave_the_pages_responsive(pages: Served):
    """And no descriptor, once their clients have gone."""

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{pages.process}/fd"))  # noqa: PTH208

    assert pages.get("/").status == 200
    before = descriptors()
    with contextlib.ExitStack() as clients:
        for _ in range(450):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", pages.port)))
            with contextlib.suppress(ConnectionError):
                client.sendall(HALF)
        assert pages.get("/").status == 200
        assert descriptors() <= before + connection.MOST_CONNECTIONS + 1
    wait_for(lambda: descriptors() <= before, 60, "the descriptors to be closed")


def test_health_is_answered_while_every_thread_is_at_work(tmp_path: Path):
    """A page that waits for a slow volume is no reason to restart the server."""
    release = threading.Event()

    async def scenario() -> list[dict[str, Any]]:
        to_thread.current_default_thread_limiter().total_tokens = 1
        waiting = asyncio.create_task(to_thread.run_sync(release.wait))
        await asyncio.sleep(0)
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": [], "query_string": b""}
        try:
            await asyncio.wait_for(application(Volume(tmp_path))(scope, None, send), 10)  # type: ignore[arg-type]
        finally:
            release.set()
            await waiting
        return sent

    assert asyncio.run(scenario())[0]["status"] == 200
