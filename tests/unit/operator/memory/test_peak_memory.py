"""Peak memory of an operator that starts with many finished runs.

The real process lists documents as large as real ones from an API server. The kernel measures its peak
memory, to which a container's limit applies.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.unit.operator.documents import a_pod_document
from tests.unit.operator.memory.fake_api_server import Past
from tests.unit.operator.memory.history import NAMESPACE

from qlib_shadow_operator.loop.stateless import NoMemories
from testcluster import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import kopf

RUNS: Final = 400
MEGABYTES: Final = 45
"""By how much those runs may raise the peak: 20 when this was written, 85 when large pages stayed in memory.
"""
PATIENCE: Final = 300


@contextmanager
def served(runs: int) -> Iterator[str]:
    """Serve this many finished runs; yield the address."""
    server = Past(runs)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.end.set()
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(folder: Path, server: str) -> Path:
    """Write a kubeconfig for the server."""
    path = folder / "kubeconfig"
    content = {
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "it"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    path.write_text(json.dumps(content))
    return path


def peak(folder: Path, runs: int) -> float:
    """Return the peak memory in megabytes of an operator that starts with this many finished runs."""
    with served(runs) as server:
        port = free_port()
        settings = {
            "KUBECONFIG": str(kubeconfig(folder, server)),
            "QLIB_SHADOW_NAMESPACES": NAMESPACE,
            "QLIB_SHADOW_HEALTH_PORT": str(port),
        }
        command = (sys.executable, "-m", "qlib_shadow_operator")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, env={"PATH": os.environ["PATH"], **settings}, stdout=log, stderr=log
            )
        try:
            wait_for(lambda: is_ready(process, port), PATIENCE, "the operator to know all runs")
            return most_memory(process.pid)
        finally:
            process.kill()
            process.wait()


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether the first lists are in the cache."""
    assert process.poll() is None, f"the operator ended with {process.returncode}"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def most_memory(pid: int) -> float:
    """Return the peak memory of a process in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kilobytes] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kilobytes / 1000


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_finished_runs_add_little_to_the_peak_memory(tmp_path: Path):
    """Each has two Jobs and two pods; read all at once, they would be a hundred megabytes of documents."""
    assert peak(tmp_path, RUNS) - peak(tmp_path, 0) < MEGABYTES


def test_kopf_keeps_no_record_of_objects():
    """A record of each object would take as much memory as the operator's own cache."""
    memories = NoMemories()
    body: kopf.RawBody = a_pod_document()  # type: ignore[assignment]
    first, second = (asyncio.run(memories.recall(body, noticed_by_listing=True)) for _ in range(2))
    assert first is not second
    assert list(memories.iter_all_memories()) == []
