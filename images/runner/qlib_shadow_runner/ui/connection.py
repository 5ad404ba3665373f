"""A connection to the pages: how long a client may keep the server waiting, and how many there may be.

A client that sends half of a request, or one byte at a time, or does not read its answer, would otherwise be
held for ever, and a thousand of them would leave no descriptor for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

MOST_CONNECTIONS: Final = 200
"""A browser opens six."""
REQUEST_SECONDS: Final = 10.0
"""From the connection, or from the first byte of a further request, to the last byte of the request."""
IDLE_SECONDS: Final = 5
"""From an answer to the first byte of a further request."""
ANSWER_SECONDS: Final = 60.0
"""How long a client may read nothing of its answer."""
INCOMPLETE: Final = frozenset({h11.IDLE, h11.SEND_BODY})


class Connection(H11Protocol):
    """One client."""

    waits_since: float | None = None
    """Since when the server waits for the client; None while it works for the client."""
    _request_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the request; of too many connections, end the one that is waited for longest."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # any byte that the client does not take pauses the answer
        self._wait_for_request()
        if len(self.connections) > MOST_CONNECTIONS:
            others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
            waited_for = [(one.waits_since, id(one), one) for one in others if one.waits_since is not None]
            (min(waited_for)[-1] if waited_for else self).end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._stop_request_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on waiting until the whole request is there."""
        super().data_received(data)
        if self.conn.their_state not in INCOMPLETE:
            self._stop_request_timer()
            self.waits_since = None
        elif self._request_timer is None:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Wait for a further request."""
        self.waits_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client has read something."""
        super().pause_writing()
        self.waits_since = self.loop.time()
        self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self.end)

    def resume_writing(self) -> None:
        """Work for the client again."""
        self._stop_answer_timer()
        self.waits_since = None
        super().resume_writing()

    def end(self) -> None:
        """End the connection at once."""
        self.waits_since = None
        self.connections.discard(self)
        self.transport.abort()

    def _wait_for_request(self) -> None:
        self.waits_since = self.loop.time()
        self._request_timer = self.loop.call_later(REQUEST_SECONDS, self.end)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
