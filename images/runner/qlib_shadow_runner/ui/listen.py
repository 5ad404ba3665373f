"""The address that the pages are served at, which decides who can reach them."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

DEFAULT_HOST: Final = "127.0.0.1"
PORTS: Final = range(65536)
NUMBER: Final = re.compile(r"\d{1,5}", re.ASCII)
LOCALHOST: Final = "localhost"


@dataclass(frozen=True)
class ListenAddress:
    """A listening socket with its host and port."""

    listening: socket.socket
    host: str
    port: int

    @classmethod
    def bind(cls, host: str, port: str) -> Self:
        """Listen at an address, or raise why that is impossible."""
        number = _port(port)
        ip = _ip(host)
        try:
            listening = socket.create_server(
                (str(ip), number),
                family=socket.AF_INET6 if ip.version == 6 else socket.AF_INET,  # noqa: PLR2004
            )
        except OSError as error:
            raise StageError(Reason.INVALID_SPEC, _error_text(error, host, number)) from error
        return cls(listening, str(ip), listening.getsockname()[1])

    @property
    def is_loopback(self) -> bool:
        """Return whether only processes on this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """Return the URL for a browser on this machine."""
        ip = ipaddress.ip_address(self.host)
        host = LOCALHOST if ip.is_unspecified else f"[{ip}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def names(self) -> frozenset[str]:
        """Return the host names that a request may have; another name leads here only by DNS rebinding."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset({LOCALHOST, "127.0.0.1", "[::1]", shown})


def _port(text: str) -> int:
    if not NUMBER.fullmatch(text) or int(text) not in PORTS:
        raise StageError(
            Reason.INVALID_SPEC, f'--port must be a number from 1 to 65535, or 0 for a free one, not "{text}"'
        )
    return int(text)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(DEFAULT_HOST if host == LOCALHOST else host.strip("[]"))
    except ValueError:
        raise StageError(
            Reason.INVALID_SPEC,
            f'--host must be an address of this machine, such as {DEFAULT_HOST} or 0.0.0.0, not "{host}"',
        ) from None


def _error_text(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program; choose another with --port (0: a free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; list its addresses with: ip address"
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for root; choose one from 1024 on with --port"
    return f"cannot listen on port {port} of {host}: {error.strerror}"
