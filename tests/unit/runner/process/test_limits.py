"""Limits and peak are those of the container, not of the node."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.process.limits import Limits, Peak, peak_memory, read_limits

if TYPE_CHECKING:
    from pathlib import Path

CASES: dict[str, tuple[dict[str, str], Limits, int]] = {
    "version 2": ({"cpu.max": "150000 100000", "memory.max": "1000"}, Limits(1.5, 1000), 2),
    "version 2 without limits": ({"cpu.max": "max 100000", "memory.max": "max"}, Limits(8.0, None), 8),
    "version 1": (
        {
            "cpu/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "2000",
        },
        Limits(0.5, 2000),
        1,
    ),
    "version 1 without limits": (
        {
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
        Limits(8.0, None),
        8,
    ),
    "more than there are": ({"cpu.max": "6400000 100000"}, Limits(8.0, None), 8),
    "no cgroups": ({}, Limits(8.0, None), 8),
}


@pytest.mark.parametrize(("files", "limits", "threads"), CASES.values(), ids=CASES)
def test_the_narrowest_limit_applies(tmp_path: Path, files: dict[str, str], limits: Limits, threads: int):
    """On a machine of eight cores."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    found = read_limits(tmp_path, affinity=8)
    assert (found, found.threads) == (limits, threads)


V2: Peak = Peak(3000, "cgroup v2 memory.peak")
V1: Peak = Peak(2500, "cgroup v1 memory.max_usage_in_bytes")
V1_FILES = {"memory/memory.max_usage_in_bytes": "2500", "memory/memory.limit_in_bytes": "4000"}
PEAKS: dict[str, tuple[dict[str, str], Peak | None]] = {
    "version 2": ({"memory.peak": "3000", "memory.max": "4000"}, V2),
    "version 2 without a limit": ({"memory.peak": "3000", "memory.max": "max"}, V2),
    "version 1": (V1_FILES, V1),
    "both": ({**V1_FILES, "memory.peak": "3000"}, V2),
    "version 1 without a limit": ({**V1_FILES, "memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    "version 1 without a word on limits": ({"memory/memory.max_usage_in_bytes": "2500"}, None),
    "an old kernel": ({"memory.max": "4000"}, None),
    "no cgroups": ({}, None),
    "no number": ({"memory.peak": "lots"}, None),
    "an empty file": ({"memory.peak": ""}, None),
    "nothing used": ({"memory.peak": "0"}, None),
    "no number in version 1": ({**V1_FILES, "memory/memory.max_usage_in_bytes": "-2500"}, None),
}


@pytest.mark.parametrize(("files", "peak"), PEAKS.values(), ids=PEAKS)
def test_the_peak_is_that_of_the_container_or_of_the_processes(
    tmp_path: Path, files: dict[str, str], peak: Peak | None
):
    """A figure of the whole machine would say nothing of the run."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    found = peak_memory(tmp_path)
    if peak is None:
        assert found.source == "ru_maxrss of the stage and its largest child"
        assert found.size > 10 << 20  # this very process
    else:
        assert found == peak


TAKES = (
    "import resource; block = b'x' * (SIZE << 20); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def test_the_memory_of_a_grandchild_counts(tmp_path: Path):
    """The stage starts qrun, and what qrun starts is further down still."""
    grandchild = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TAKES!r}.replace('SIZE', '300')])"
    )
    script = (
        "import subprocess, sys; from pathlib import Path; "
        "from qlib_shadow_runner.process.limits import peak_memory; "
        f"subprocess.run([sys.executable, '-c', {grandchild!r}], check=True, stdout=subprocess.DEVNULL); "
        "print(peak_memory(Path(sys.argv[1])).size)"
    )
    # Through a shell, because a program begins with the peak of the process that called exec: the tests' own.
    command = ["sh", "-c", '"$0" "$@"; exit $?', sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 300 << 20 < int(done.stdout) < 600 << 20
