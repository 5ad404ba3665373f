"""Where the pages are served, and who may therefore reach them."""

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
    """A socket that listens, and its name."""

    listening: socket.socket
    host: str
    port: int

    @classmethod
    def bind(cls, host: str, port: str) -> Self:
        """Listen there, or say why that cannot be."""
        number = _port(port)
        ip = _ip(host)
        try:
            listening = socket.create_server(
                (str(ip), number),
                family=socket.AF_INET6 if ip.version == 6 else socket.AF_INET,  # noqa: PLR2004
            )
        except OSError as error:
            raise StageError(Reason.INVALID_SPEC, _why(error, host, number)) from error
        return cls(listening, str(ip), listening.getsockname()[1])

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine's own processes can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """Give what a browser on this machine opens."""
        ip = ipaddress.ip_address(self.host)
        host = LOCALHOST if ip.is_unspecified else f"[{ip}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def names(self) -> frozenset[str]:
        """Give the hosts that a browser may have asked for; another name leads here only by rebinding."""
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


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program; choose another with --port (0: a free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; see its own with: ip address"
    if error.errno == errno.EACCES:
        return f"port {port} is kept for root; choose one from 1024 on with --port"
    return f"cannot listen on port {port} of {host}: {error.strerror}"
