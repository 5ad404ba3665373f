"""`python -P -m qlib_shadow_runner.guard [--channel FIFO --control FD] -- COMMAND…`, without a network.

Closes the network for this process, sends the names of the layers and the descriptor of the kernel's
notifications through the control socket, and becomes the command. It also refuses without a supervisor.
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
from qlib_shadow_runner.printing import print_error

NOT_FOUND = 127
"""The exit code that shells use."""
SITE = Path(__file__).with_name("site")


def main(arguments: list[str]) -> None:
    """Close the network, then execute the command."""
    options = _options(arguments)
    _guard_pythons(options.channel)
    if options.control is None:
        close_network(asking=False)
    else:
        _close_and_hand_over(options.control)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - there is no shell in this
    except OSError as error:
        print_error(f"{options.command[0]} cannot be started: {error.strerror}")
        raise SystemExit(NOT_FOUND) from error


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qlib_shadow_runner.guard")
    parser.add_argument("--channel", help="the pipe through which Python reports attempts")
    parser.add_argument("--control", type=int, help="a descriptor: the supervisor's socket")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _guard_pythons(channel: str | None) -> None:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SITE), *([before] if before else [])])
    if channel:
        os.environ[ENV_CHANNEL] = channel


def _close_and_hand_over(control: int) -> None:
    """Close the network; another thread sends the descriptor, since this one is filtered by then."""
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
