"""How patient the connections to the API server are. A line that was cut without a word must be noticed.

A firewall that forgets a connection, or a node that is gone, sends no goodbye: packets are swallowed, and
whoever only listens would listen for ever. What notices it, in the order of how soon:

- TCP itself, where nothing answers at all (SOCKET_OPTIONS);
- a request's own limit (CONNECT_SECONDS, READ_SECONDS), after which the whole pool is renewed;
- for a watch, silence. The API server is asked to end each watch after WATCH_SECONDS, so that one that has
  been silent for WATCH_SILENCE_LIMIT is dead for certain, and another one is opened.
"""

from __future__ import annotations

import socket
from typing import Final

CONNECT_SECONDS: Final = 5.0
"""To connect, and to agree on a key."""
READ_SECONDS: Final = 30.0
"""For an answer: an admission webhook may take as long."""

LIST_CHUNK: Final = 100
"""Objects in one answer: a parsed pod takes 50 kB, and what was once needed stays the process's."""

WATCH_SECONDS: Final = 45
"""How long one watch lasts; the next goes on where it ended."""
WATCH_SILENCE_LIMIT: Final = 60.0
"""Seconds of silence after which a watch is given up.

Whatever happened meanwhile is heard of within RECOVERY_LIMIT of the cut, or of the end of an outage.
"""
WATCH_BACKOFFS: Final = (0.5, 1, 2, *[4] * 72)
"""Seconds between attempts to open a watch: five minutes in all, and never a long pause."""
RECOVERY_LIMIT: Final = WATCH_SILENCE_LIMIT + CONNECT_SECONDS + WATCH_BACKOFFS[-1]

SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)
"""Ask whether the other side is there once nothing was heard for 15 s, and give up half a minute later."""
