"""The operator's process, started as in its image, and its figures from the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.operator_cost.bench_cluster import CLAIM, NAMESPACE, WITH_US

from testcluster import binaries
from testcluster.errors import TestClusterError
from testcluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.operator_cost.bench_cluster import Place

QUIET_FOR: Final = 1.5
"""Seconds without work after which a process counts as idle."""
QUIET: Final = 0.05
"""Processor seconds in that time that count as idle."""


@dataclass(frozen=True)
class Process:
    """A running process."""

    pid: int

    @property
    def cpu(self) -> float:
        """Return the processor seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident(self) -> int:
        """Return the bytes in memory now."""
        return self._memory("VmRSS")

    @property
    def peak(self) -> int:
        """Return the peak of the bytes in memory."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        [value] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
        return int(value) * 1024

    def wait_until_idle(self, timeout: float = 300) -> None:
        """Wait until it does no work."""
        wait_for(self._is_idle, timeout, "the operator to be idle")

    def _is_idle(self) -> bool:
        before = self.cpu
        time.sleep(QUIET_FOR)
        return self.cpu - before < QUIET


@contextmanager
def operator(place: Place, *, resync: int = 86_400) -> Iterator[Process]:
    """Run the operator with the rights of its Role during a measurement."""
    port = free_port()
    env = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    settings = {
        "KUBECONFIG": str(place.kubeconfig("operator")),
        "QLIB_SHADOW_NAMESPACES": NAMESPACE,
        "QLIB_SHADOW_RUNNER_IMAGE": binaries.STAGE,
        "QLIB_SHADOW_CLAIM_NAME": CLAIM,
        "QLIB_SHADOW_RESYNC_SECONDS": str(resync),
        "QLIB_SHADOW_HEALTH_PORT": str(port),
    }
    with (place.state / "logs/operator.log").open("a") as log:
        running = subprocess.Popen(
            (*WITH_US, sys.executable, "-m", "qlib_shadow_operator"),
            env=env | settings,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: answers(running, port), 300, "the operator to be healthy")
        yield Process(running.pid)
    finally:
        running.terminate()
        running.wait()


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether it is ready."""
    if process.poll() is not None:
        raise TestClusterError(f"the operator ended with {process.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status < 300)
    except OSError:
        return False


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number
