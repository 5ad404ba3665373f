"""Serve the pages until the process is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from typing import TYPE_CHECKING, Final

import uvicorn
from anyio import to_thread

from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.contract.escapes import in_lines
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.runs.listing import existing_volume
from qlib_shadow_runner.ui.api_server import RunApi
from qlib_shadow_runner.ui.app import application
from qlib_shadow_runner.ui.connection import IDLE_SECONDS, MOST_CONNECTIONS, Connection
from qlib_shadow_runner.ui.gate import Gate
from qlib_shadow_runner.ui.listen import ListenAddress
from qlib_shadow_runner.ui.resources import ResourceListing
from qlib_shadow_runner.ui.tokens import Token

if TYPE_CHECKING:
    import socket
    from pathlib import Path

MOST_PAGES: Final = 8
"""How many pages are made at the same time; more would only take memory, and time from the others."""
BACKLOG: Final = 64
"""How many connections the kernel keeps, and how many are accepted at once."""
STOP_SECONDS: Final = 3
"""How long an answer may still take after the server is told to stop."""


def serve(
    data: Path, *, host: str, port: str, token_file: Path | None, resources: bool, as_json: bool
) -> int:
    """Listen, print the address, and answer until Ctrl-C or SIGTERM."""
    volume = existing_volume(data)
    listing = ResourceListing(RunApi.of_pod(os.environ)) if resources else None
    token = Token.find(token_file, os.environ)
    address = ListenAddress.bind(host, port)
    if token is None and not address.is_loopback:
        token = Token.make()
    names = address.names if address.is_loopback else None
    gate = Gate(application(volume, listing), names, token, f"qlib_shadow_ui_{address.port}")
    config = uvicorn.Config(
        gate,
        http=Connection,
        backlog=BACKLOG,
        limit_concurrency=MOST_CONNECTIONS + 1,  # requests, also of clients that have gone
        timeout_keep_alive=IDLE_SECONDS,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    url, mount = _printed_url(address, token), str(volume.mount)
    line = json.dumps({"url": url, "data": mount}) if as_json else _sentence(url, mount)
    print_line(line)
    _log_to_stderr()
    with address.listening, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_answer(config, address.listening))
    return ExitCode.DONE


async def _answer(config: uvicorn.Config, listening: socket.socket) -> None:
    to_thread.current_default_thread_limiter().total_tokens = MOST_PAGES
    await uvicorn.Server(config).serve(sockets=[listening])


class _Lines(logging.Formatter):
    """Formats a record; the traceback of a page that could not be made quotes what runs hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        return in_lines(super().format(record))


def _log_to_stderr() -> None:
    """Log errors alone: that a stranger sent what is no request is no news."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [handler]
    logger.setLevel(logging.ERROR)


def _sentence(url: str, mount: str) -> str:
    return f"the runs in {mount} are shown at {url} (Ctrl-C ends)"


def _printed_url(address: ListenAddress, token: Token | None) -> str:
    """Return the address; with the token only if it was made here and must be shown once."""
    return f"{address.url}?token={token.text}" if token and token.generated else address.url
