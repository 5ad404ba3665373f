"""Threads follow what the container may use, not what the node has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.limits import Limits, read_limits

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
