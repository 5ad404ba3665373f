"""Timeouts of the connections to the API server. They detect a connection that was cut without notice.

A firewall that drops a connection, or a lost node, sends no FIN: a client that only reads would wait for
ever. What detects it, fastest first:
- TCP itself, where nothing answers at all (SOCKET_OPTIONS);
- a request's own timeout (CONNECT_SECONDS, READ_SECONDS), after which the whole pool is replaced;
- for a watch, silence. The API server is asked to end each watch after WATCH_SECONDS, so that a watch that
was silent for WATCH_SILENCE_LIMIT is certainly dead, and another one is opened.
"""

from __future__ import annotations

import socket
from typing import Final

CONNECT_SECONDS: Final = 5.0
"""To connect, including the TLS handshake."""
READ_SECONDS: Final = 30.0
"""To answer: an admission webhook may take this long."""

LIST_CHUNK: Final = 100
"""Objects per page of a list: a parsed pod takes 50 kB, and the process keeps the peak memory."""

WATCH_SECONDS: Final = 45
"""How long one watch lasts; the next one continues where it ended."""
WATCH_SILENCE_LIMIT: Final = 60.0
"""Seconds of silence after which a watch is given up.

Changes during a cut or an outage are seen within RECOVERY_LIMIT of its end.
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
"""Send keepalive probes after 15 s of silence, and give up half a minute later."""
