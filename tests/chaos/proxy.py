"""A proxy between the operator and the API server whose connections can be cut without notice.

A cut connection stays open but delivers nothing more: both kernels still acknowledge packets, so that only
the silence shows it. New connections work.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 65_536


@dataclass(eq=False)
class Line:
    """One connection, both ways."""

    near: socket.socket
    far: socket.socket
    is_cut: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Forward both ways."""
        for source, target in ((self.near, self.far), (self.far, self.near)):
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        """Forward until one side ends; after the cut drop everything, including the end."""
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if not self.is_cut.is_set():
                    target.sendall(data)
        if not self.is_cut.is_set():
            self.close()

    def close(self) -> None:
        """Close both sides."""
        for end in (self.near, self.far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Listens on this machine and forwards to an API server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._lines: list[Line] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        """Return the port to connect to."""
        return int(self._door.getsockname()[1])

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                line = Line(near, socket.create_connection(self._address))
                self._lines.append(line)
                line.start()

    def open_lines(self) -> int:
        """Return the number of open connections that are not cut."""
        return sum(line.near.fileno() >= 0 and not line.is_cut.is_set() for line in self._lines)

    def cut(self) -> int:
        """Cut all open connections, and return how many there were."""
        standing = [line for line in self._lines if line.near.fileno() >= 0 and not line.is_cut.is_set()]
        for line in standing:
            line.is_cut.set()
        return len(standing)

    def close(self) -> None:
        """Close everything."""
        self._door.close()
        for line in self._lines:
            line.close()


def through(proxy: Proxy, kubeconfig: Path, copy: Path) -> Path:
    """Return a kubeconfig for the proxy; the certificate is valid for this machine, too."""
    document = json.loads(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    copy.write_text(json.dumps(document))
    return copy


def address_of(kubeconfig: Path) -> tuple[str, int]:
    """Return the API server's host and port."""
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    host, _, port = server.removeprefix("https://").rpartition(":")
    return host, int(port)
