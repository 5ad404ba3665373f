"""The figures as a table for docs/benchmarks.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = tuple[str, str, str, str]
HEADER: Final[Row] = ("", "operator", "floor", "ratio")


def seconds(value: float) -> str:
    """Return a time as text."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def megabytes(value: float) -> str:
    """Return an amount of memory as text."""
    return f"{value / 1e6:.0f} MB"


def versus(what: str, ours: float, floor: float) -> Row:
    """Return a row that compares two times."""
    return what, seconds(ours), seconds(floor), f"{ours / floor:.2f}"


def fact(what: str, value: str, aim: str = "") -> Row:
    """Return a row of a figure without floor, with its target."""
    return what, value, aim, ""


def table(rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [HEADER, ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Return a description of the machine and its load."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    load = os.getloadavg()[0]
    kind = models[0] if models else "unknown"
    return f"{os.cpu_count()} processors ({kind}), {memory:.0f} GiB; load before: {load:.1f}"
