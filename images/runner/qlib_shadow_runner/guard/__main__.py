"""`python -P -m qlib_shadow_runner.guard [--channel FIFO --control FD] -- COMMAND…`, without a network.

Closes the network for this process, says on the control socket which layers hold, hands over the descriptor
on which the kernel asks, and becomes the command. Alone, without a supervisor, it refuses all the same.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from pathlib import Path

from qlib_shadow_runner.guard.layers import close_network
from qlib_shadow_runner.guard.network_attempt import ENV_CHANNEL

NOT_FOUND = 127
"""As shells have it."""
SITE = Path(__file__).with_name("site")


def main(arguments: list[str]) -> None:
    """Close the network, then become the command."""
    options = _options(arguments)
    _guard_pythons(options.channel)
    if options.control is None:
        close_network(asking=False)
    else:
        _close_and_hand_over(options.control)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - there is no shell in this
    except OSError as error:
        sys.stderr.write(f"{options.command[0]} cannot be started: {error.strerror}\n")
        raise SystemExit(NOT_FOUND) from error


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qlib_shadow_runner.guard")
    parser.add_argument("--channel", help="the pipe that Python's attempts are told through")
    parser.add_argument("--control", type=int, help="a descriptor: the supervisor's socket")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _guard_pythons(channel: str | None) -> None:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SITE), *([before] if before else [])])
    if channel:
        os.environ[ENV_CHANNEL] = channel


def _close_and_hand_over(control: int) -> None:
    """Let another thread send the descriptor: once the filter holds, this one would have to ask for that."""
    closed = threading.Event()
    found: list[tuple[list[str], int | None]] = []

    def send() -> None:
        closed.wait()
        layers, listener = found[0]
        content = "\n".join(layers).encode() or b"\n"
        socket.send_fds(channel, [content], [] if listener is None else [listener])

    with socket.socket(fileno=control) as channel:
        sender = threading.Thread(target=send)
        sender.start()
        found.append(close_network(asking=True))
        closed.set()
        sender.join()
    listener = found[0][1]
    if listener is not None:
        os.close(listener)


if __name__ == "__main__":
    main(sys.argv[1:])
