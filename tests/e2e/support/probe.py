"""A program that tries to get out, of which the tests run copies in pods.

Its arguments are the seconds that it tries for, and goals as NAME=KIND:HOST:PORT, where KIND is tcp or udp.
It prints how often it reached each goal, and how often it tried.
"""

# ruff: noqa: T201 - what it prints is read by the test
from __future__ import annotations

import json
import socket
import sys
import time

PATIENCE = 0.5
PAUSE = 0.02


def is_reached(kind: str, host: str, port: int) -> bool:
    """Return whether something there takes a connection, or answers a datagram."""
    how = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    try:
        with socket.socket(socket.AF_INET, how) as line:
            line.settimeout(PATIENCE)
            line.connect((host, port))
            if kind == "udp":
                line.send(b"x")
                line.recv(16)
    except OSError:
        return False
    return True


def main() -> None:
    """Try every goal in turn, until the time is over."""
    goals = dict(argument.split("=") for argument in sys.argv[2:])
    reached, tries = dict.fromkeys(goals, 0), 0
    end = time.monotonic() + float(sys.argv[1])
    while not tries or time.monotonic() < end:
        tries += 1
        for name, goal in goals.items():
            kind, host, port = goal.split(":")
            reached[name] += is_reached(kind, host, int(port))
        time.sleep(PAUSE)
    print(json.dumps({"reached": reached, "tries": tries}), flush=True)


if __name__ == "__main__":
    main()
