"""The hostile library of an image: it breaks the promise of a run inside the process of qrun.

It acts when Qlib is imported. The run's name chooses the attack. It catches every exception, so that only the
guard can end the run.
"""

# ruff: noqa: T201, BLE001 - what it prints is read by the test, and it catches whatever there is
from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HOST, PORT = Path("/hostile/address").read_text().split()


def through_python() -> None:
    """Connect as any library would."""
    socket.create_connection((HOST, int(PORT)), 10).close()


def through_a_child() -> None:
    """Connect in a child process that inherits no Python settings."""
    code = f"import socket; socket.create_connection(({HOST!r}, {PORT}), 10)"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


def through_the_c_library() -> None:
    """Connect by the C library, without Python's socket module."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(int(PORT)), socket.inet_aton(HOST))
    if libc.connect(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "connect")


def over_udp() -> None:
    """Send a datagram."""
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"BUY 100", (HOST, int(PORT)))


def probe_container() -> None:
    """Print what this process may do, and end."""
    dataset = next(Path("/data/qlib/qlib_data").glob("us_data_1d@*/instruments/all.txt"))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    seen = {
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16),
        "no_new_privileges": int(status["NoNewPrivs"]),
        "root_is_read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "token": Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists(),
        "dataset": _refusal(lambda: dataset.open("a")),
        "beside_the_dataset": _refusal(lambda: (dataset.parent / "new").write_text("x")),
        "variables": sorted(os.environ),
    }
    print("SEEN " + json.dumps(seen), flush=True)
    os._exit(7)


def _refusal(attempt: Callable[[], object]) -> int | None:
    try:
        attempt()
    except OSError as error:
        return error.errno
    return None


LINKS_FOLDER: dict[str, Callable[[], None]] = {
    "python": through_python,
    "child": through_a_child,
    "native": through_the_c_library,
    "udp": over_udp,
    "look": probe_container,
}


class OnImport:
    """Acts once, when Qlib is imported."""

    @classmethod
    def find_spec(cls, name: str, *_: object) -> None:
        """Return nothing for every module."""
        if name == "qlib":
            sys.meta_path.remove(cls)
            act()


def act() -> None:
    """Carry out the attack in the run's name."""
    way = LINKS_FOLDER[sys.orig_argv[-2].partition('"')[2].partition("-")[0]]
    try:
        way()
    except BaseException as error:
        print(f"SWALLOWED {error!r}", flush=True)
    else:
        print("REACHED", flush=True)


PROGRAM = "qlib_shadow_runner.stages.launch_qrun"
if PROGRAM in sys.orig_argv or Path((*sys.orig_argv, "", "")[1]).name == "qrun":  # the control's is a file
    sys.meta_path.insert(0, OnImport)
