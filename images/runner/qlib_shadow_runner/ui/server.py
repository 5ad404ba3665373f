"""Serving the pages until somebody stops it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import uvicorn

from qlib_shadow_runner.cli.folders import existing_volume
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.ui.address import Address
from qlib_shadow_runner.ui.app import application
from qlib_shadow_runner.ui.gate import Gate
from qlib_shadow_runner.ui.tokens import Token

if TYPE_CHECKING:
    from pathlib import Path

STOPPING: int = 3
"""Seconds that an answer may take to its end once the server is told to stop."""


def serve(data: Path, *, host: str, port: str, token_file: Path | None) -> int:
    """Listen, say where, and answer until Ctrl-C or SIGTERM."""
    volume = existing_volume(data)
    token = Token.find(token_file, os.environ)
    address = Address.bind(host, port)
    if token is None and not address.is_loopback:
        token = Token.make()
    names = address.names if address.is_loopback else None
    gate = Gate(application(volume), names, token, f"qlib_shadow_ui_{address.port}")
    config = uvicorn.Config(
        gate,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOPPING,
    )
    sys.stdout.write(f"the runs in {volume.mount} are shown at {_shown(address, token)} (Ctrl-C ends)\n")
    sys.stdout.flush()
    with address.listening, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[address.listening])
    return ExitCode.DONE


def _shown(address: Address, token: Token | None) -> str:
    """Give the address; with the token only where nobody else knows it yet."""
    return f"{address.url}?token={token.word}" if token and token.generated else address.url
