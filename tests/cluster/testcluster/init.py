"""Process 1 of a test cluster: the cluster lives as long as it does.

Started by sandbox.py inside new network, mount and process namespaces. When it ends, in any way, the kernel
ends every process, mount, bridge and firewall rule of the cluster, so no clean-up code is needed. It runs as
a plain file, so it imports nothing of the package.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PRIVATE = ("/run", "/var/log")
"""Folders that the node's components write under fixed names."""
PRIVATE_IN_VAR_LIB = ("cni", "kubelet")

KUBELET_SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)
"""The machine's memory and panic settings, which the kubelet insists on writing."""

MEMORY_TO_SPARE_KB = 12 * 2**20
"""With this much available, images and etcd are in memory: loading and removing them costs no disk."""


def mount(*arguments: str) -> None:
    """Mount something in this mount namespace."""
    subprocess.run(("mount", *arguments), check=True)


def hide_the_machine(state: Path) -> None:
    """Give the node its own copies of the folders and kernel settings that it would write to."""
    for folder in PRIVATE:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    var_lib = state / "var-lib"
    var_lib.mkdir()
    mount("--rbind", "/var/lib", str(var_lib))
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib")
    for entry in var_lib.iterdir():
        if entry.name not in PRIVATE_IN_VAR_LIB:
            (Path("/var/lib") / entry.name).symlink_to(entry)
    (state / "scratch").mkdir()
    if available_memory_kb() > MEMORY_TO_SPARE_KB:
        mount("-t", "tmpfs", "-o", "mode=711", "tmpfs", str(state / "scratch"))
    fake_settings(state / "settings")


def available_memory_kb() -> int:
    """Return how much memory is available without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def fake_settings(folder: Path) -> None:
    """Make the kernel's settings read-only in here, except the network's, which are per namespace."""
    mount("--bind", "/proc/sys", "/proc/sys")
    mount("--bind", "/proc/sys/net", "/proc/sys/net")
    for setting in KUBELET_SETTINGS:
        fake = folder / setting
        fake.parent.mkdir(parents=True, exist_ok=True)
        fake.write_text((Path("/proc/sys") / setting).read_text())
        mount("--bind", str(fake), f"/proc/sys/{setting}")
    mount("-o", "remount,bind,ro", "/proc/sys")


def main() -> None:
    """Prepare, report it, and live until told to stop or until the owner's end of the pipe closes."""
    state, owner = Path(sys.argv[1]), sys.argv[2]
    hide_the_machine(state)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if owner == "watched":
        sys.stdin.buffer.read()
    while owner == "left-running":
        signal.pause()


if __name__ == "__main__":
    main()
