"""One cluster's isolated part of the machine, with its own network, mounts and processes.

Two clusters never meet, nothing listens on the machine's own addresses, and everything ends with one process
(see init.py). It uses Linux only and knows nothing of Kubernetes.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import cache
from testcluster.commands import run
from testcluster.errors import TestClusterError, UnavailableError
from testcluster.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "qlib-shadow-cluster-"
LINKS = IPv4Network("198.18.0.0/15")
"""Set apart for testing networks (RFC 2544): no route of the machine leads there."""
INIT = Path(__file__).resolve().parent / "init.py"
"""What process 1 runs; in the arguments of a process 1 it says which checkout has started the sandbox."""
WATCHED, LEFT_RUNNING = "watched", "left-running"
"""Whether process 1 ends with its owner (see init.py)."""
CGROUPS = Path("/sys/fs/cgroup")
LEFTOVERS = "leftovers"
"""The lock of a session that removes a sandbox."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: its state folder and its process 1, as the machine numbers it."""

    state: Path
    init: int

    @property
    def name(self) -> str:
        """Return the name of its folders, control groups and links."""
        return self.state.name

    @property
    def address(self) -> IPv4Address:
        """Return the address at which the machine reaches the sandbox."""
        return IPv4Address((self.state / "address").read_text())

    def inside(self, *command: str | Path) -> list[str]:
        """Return the command line that runs a command in here."""
        enter = ("nsenter", f"--target={self.init}", "--net", "--mount", "--pid", "--")
        return [*enter, *(str(word) for word in command)]

    def is_left_running(self, *, anywhere: bool = False) -> bool:
        """Return whether it should outlive the process that started it, which was one of this checkout."""
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was found
            arguments = Path(f"/proc/{self.init}/cmdline").read_bytes().split(b"\0")
            return LEFT_RUNNING.encode() in arguments and (anywhere or bytes(INIT) in arguments)
        return False

    def end(self) -> None:
        """End everything, and remove what the kernel does not."""
        with suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        with cache.lock(LEFTOVERS):  # another session that starts removes every dead sandbox
            if self.state.exists():
                wait_for(lambda: is_dead(self.state), PATIENCE, f"the end of {self.name}")
            remove(self.state)


def require_root() -> None:
    """Refuse what only root can do, before anything that takes long."""
    if os.geteuid() != 0:
        raise UnavailableError(
            "a test cluster without Docker needs root; run as root, install Docker, or pass --kubeconfig"
        )


def start(*, left_running: bool) -> Sandbox:
    """Create a sandbox that ends with this process, or one that is left running."""
    remove_leftovers()
    state = Path(tempfile.mkdtemp(prefix=PREFIX))
    state.chmod(0o755)
    for group in control_groups(state.name):
        group.mkdir()
    sandbox = Sandbox(state, start_init(state, LEFT_RUNNING if left_running else WATCHED))
    (state / "init").write_text(str(sandbox.init))
    connect(sandbox)
    return sandbox


def start_init(state: Path, owner: str) -> int:
    """Start process 1 in new namespaces; it holds the sandbox's lock."""
    command = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    with lifeline(state) as alive, (state / "init.log").open("w") as log:
        process = subprocess.Popen(
            (*command, sys.executable, "-I", str(INIT), str(state), owner),
            stdin=subprocess.PIPE if owner == WATCHED else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(alive,),
            start_new_session=True,
        )
    OWNED[state] = process
    assert process.stdout is not None
    with process.stdout as output:
        if output.readline().strip() != b"ready":
            raise TestClusterError(f"the sandbox did not start: {(state / 'init.log').read_text().strip()}")
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


@contextmanager
def lifeline(state: Path) -> Iterator[int]:
    """Hold the lock of a living sandbox; its file never exists unlocked."""
    draft = state / "alive.new"
    with draft.open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        draft.rename(state / "alive")
        yield alive.fileno()


OWNED: dict[Path, subprocess.Popen[bytes]] = {}
"""Keeps the pipe open by which a watched sandbox knows that this process lives."""


def connect(sandbox: Sandbox) -> None:
    """Link the sandbox to the machine by two addresses that nothing else uses."""
    taken = run("ip", "-4", "-oneline", "address")
    link = next(link for link in random.sample(range(2**13), 64) if str(addresses(link)[0]) not in taken)
    outer, inner = addresses(link)
    name = f"qs{link}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(sandbox.init))
    run("ip", "address", "add", str(IPv4Interface((outer, 30))), "dev", name)
    run("ip", "link", "set", name, "up")
    for command in (
        ("ip", "address", "add", str(IPv4Interface((inner, 30))), "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "link", "set", "lo", "up"),
    ):
        run(*sandbox.inside(*command))
    (sandbox.state / "address").write_text(str(inner))


def addresses(link: int) -> tuple[IPv4Address, IPv4Address]:
    """Return the two ends of the numbered link: the machine's and the sandbox's."""
    return LINKS[4 * link + 1], LINKS[4 * link + 2]


def find() -> list[Sandbox]:
    """Return the sandboxes that live on this machine."""
    living = [(state, process_1(state)) for state in states() if not is_dead(state)]
    return [Sandbox(state, init) for state, init in living if init]


def process_1(state: Path) -> int | None:
    """Return the number of a sandbox's process 1; None while it is being created or removed."""
    try:
        return int((state / "init").read_text())
    except (FileNotFoundError, ValueError):
        return None


def remove_leftovers() -> None:
    """Remove what sandboxes with a killed owner left behind."""
    with cache.lock(LEFTOVERS):
        for state in states():
            if is_dead(state):
                remove(state)


def states() -> list[Path]:
    """Return the folders of all sandboxes, dead or alive."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def is_dead(state: Path) -> bool:
    """Return whether the sandbox's lock is free."""
    try:
        with (state / "alive").open() as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # being created or removed at this moment
        return False
    return True


def remove(state: Path) -> None:
    """Remove a dead sandbox's control groups and folder, unless another session has."""
    if process := OWNED.pop(state, None):
        if process.stdin:
            process.stdin.close()
        process.wait()
    for group in control_groups(state.name):
        wait_for(partial(remove_group, group), PATIENCE, f"the processes of {group} to end")
    if state.exists():
        shutil.rmtree(state)


def control_groups(name: str) -> list[Path]:
    """Return the sandbox's control group: one folder on cgroup v2, one per controller on v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / name]
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(folder) / name for _, folder, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}]


def remove_group(group: Path) -> bool:
    """Remove a control group and those inside it; return False while a process is ending in one."""
    with suppress(OSError):
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
    return not group.exists()
