"""A proxy between two programs that can drop what one of them sends."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Relay:
    """Forwards everything between clients and a server, until told to drop it."""

    server: tuple[str, int]
    swallows: bool = False
    """Whether requests are dropped; answers still arrive."""
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        """Return the port to connect to."""
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """Accept no more connections, and wait for the end of the open ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.server) as server:
            back = threading.Thread(target=pass_on, args=(server, client))
            back.start()
            pass_on(client, server, lambda: self.swallows)
            back.join()


def pass_on(source: socket.socket, goal: socket.socket, lost: Callable[[], bool] = lambda: False) -> None:
    """Forward or drop data until one side closes; then close the other."""
    with suppress(OSError):
        while data := source.recv(65_536):
            if not lost():
                goal.sendall(data)
    for one in (source, goal):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
