"""The CPUs and the memory of the container, not of the node: the limits, and the peak that was used."""

from __future__ import annotations

import math
import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qlib_shadow_runner.contract import Stage

CGROUP: Final = Path("/sys/fs/cgroup")
NUMBER: Final = re.compile(r"-?[0-9]{1,20}")
"""What the kernel writes: a number of 64 bits."""
NO_LIMIT: Final = 1 << 60
"""Version 1 writes "unlimited" as a number near 2^63."""


def more_memory(stage: Stage) -> str:
    """Return what to do where a stage's memory runs out."""
    return f"Raise spec.stages.{stage}.resources.limits.memory, or research fewer instruments or years."


@dataclass(frozen=True)
class Limits:
    """CPUs and memory; memory is None where nothing limits it."""

    cpus: float
    memory_bytes: int | None

    @property
    def threads(self) -> int:
        """Return how many threads to start: more than there are CPUs slow each other down."""
        return max(1, math.ceil(self.cpus))


@dataclass(frozen=True)
class Peak:
    """The most memory that was used at once, and where the figure is from."""

    size: int
    source: str


def peak_memory(cgroup: Path = CGROUP) -> Peak:
    """Return the peak of the container's cgroup, which counts all processes, or else of our processes."""
    return _peak_v2(cgroup) or _peak_v1(cgroup) or _peak_of_processes()


def _peak_v2(cgroup: Path) -> Peak | None:
    """Return the peak from a file that only a container's cgroup has, not the machine's root."""
    found = _number(cgroup / "memory.peak")
    return Peak(int(found), "cgroup v2 memory.peak") if found and found > 0 else None


def _peak_v1(cgroup: Path) -> Peak | None:
    """Return the peak where memory is limited: without a limit it may be that of the whole machine."""
    limit = _number(cgroup / "memory" / "memory.limit_in_bytes")
    found = _number(cgroup / "memory" / "memory.max_usage_in_bytes")
    if not found or found <= 0 or not limit or limit >= NO_LIMIT:
        return None
    return Peak(int(found), "cgroup v1 memory.max_usage_in_bytes")


def _peak_of_processes() -> Peak:
    """Return this process's peak plus that of its largest child."""
    kilobytes = sum(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Peak(kilobytes * 1024, "ru_maxrss of the stage and its largest child")


def read_limits(cgroup: Path = CGROUP, affinity: int | None = None) -> Limits:
    """Return the narrowest limits that apply, of either cgroup version."""
    cores = float(affinity if affinity is not None else len(os.sched_getaffinity(0)))
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    memory = _number(cgroup / "memory.max") or _number(cgroup / "memory" / "memory.limit_in_bytes")
    return Limits(
        cpus=min(cores, quota) if quota else cores,
        memory_bytes=int(memory) if memory and 0 < memory < NO_LIMIT else None,
    )


def _quota_v2(cgroup: Path) -> float | None:
    words = _read(cgroup / "cpu.max").split()
    if len(words) != 2 or not all(NUMBER.fullmatch(word) for word in words):  # noqa: PLR2004 - "quota period"
        return None
    return _share(float(words[0]), float(words[1]))


def _quota_v1(cgroup: Path) -> float | None:
    quota = _number(cgroup / "cpu" / "cpu.cfs_quota_us")
    period = _number(cgroup / "cpu" / "cpu.cfs_period_us")
    return _share(quota, period) if quota and period else None


def _share(quota: float, period: float) -> float | None:
    return quota / period if quota > 0 and period > 0 else None


def _number(path: Path) -> float | None:
    text = _read(path)
    return float(text) if NUMBER.fullmatch(text) else None


def _read(path: Path) -> str:
    """Return the content; a file that cannot be read, or is not text, limits nothing."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
