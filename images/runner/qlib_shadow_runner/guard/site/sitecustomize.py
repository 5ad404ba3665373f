"""Loaded by every Python below the qrun stage: refuses network calls and reports them to the supervisor.

Python finds this module because the launcher puts its folder first on PYTHONPATH. It knows the standard
library alone, since a grandchild may be another Python, and loads the sitecustomize that it hides.
"""
# ruff: noqa: INP001 - a folder on sys.path, not a package

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

ENV_CHANNEL = "QLIB_SHADOW_GUARD"
LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
CALLS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
NO_PORT = frozenset({None, 0, "0", ""})
HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - as the interpreter starts


def destination(event: str, arguments: tuple[object, ...]) -> str | None:
    """Return the address of an attempt to reach the network; None for any other event."""
    if event in LOOKUPS:
        return _looked_up(*arguments[:2])
    if event in CALLS and isinstance(arguments[1], tuple):  # a local socket's address is text
        return _joined(*arguments[1][:2])
    return None


def _looked_up(host: object, port: object = None) -> str | None:
    """Return the name that is looked up, unless it is a number or this machine's, and no port is named."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name:
        return None
    asks_nobody = name in {"localhost", os.uname().nodename} or ":" in name or name.replace(".", "").isdigit()
    return None if asks_nobody and port in NO_PORT else _joined(name, port)


def _joined(host: object, port: object = None) -> str:
    shown = f"[{host}]" if ":" in str(host) else str(host)
    return shown if port in NO_PORT else f"{shown}:{port}"


def place() -> str:
    """Return the innermost line of code that is not the standard library's."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    frame = sys._getframe(3)  # noqa: SLF001 - above this function, send_attempt and refuse
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen") and (not file.startswith(library) or "site-packages" in file):
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def send_attempt(address: str) -> None:
    """Write one line to the supervisor's pipe; the call is refused also where that fails."""
    fields = {"address": address, "pid": os.getpid(), "place": place()}
    try:
        channel = os.open(os.environ[ENV_CHANNEL], os.O_WRONLY | os.O_NONBLOCK)
        os.write(channel, json.dumps(fields).encode() + b"\n")
        os.close(channel)
    except (OSError, KeyError):
        pass


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse a call that goes to the network; the supervisor ends the run even if this error is caught."""
    if not event.startswith("socket."):
        return
    address = destination(event, arguments)
    if address is not None:
        send_attempt(address)
        raise PermissionError(f"qlib-shadow: this run may not connect to {address}")


def run_next_sitecustomize() -> None:
    """Load the sitecustomize that this one hides."""
    rest = [path for path in sys.path if os.path.abspath(path) != HERE]  # noqa: PTH100
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


sys.addaudithook(refuse)
run_next_sitecustomize()
