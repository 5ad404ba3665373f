"""`make bench-report`: seconds that a report takes, compared with a script for most of its charts.

Each way runs in a process of its own, as a report does; the ways take turns, so that whatever else the
machine does falls on all of them. Processor seconds are told beside those on the clock, because they mean
something on a machine that is not idle.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.report_page.recorded_run import make_place
from tests.unit.runner.report.recorded_runs import artifacts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRADING_DAYS: Final = 252
IMPORTS: Final = "import pandas, empyrical, matplotlib.pyplot"
BY_HAND: Final = """
import pathlib, sys
from tests.bench.report_page.notebook_charts import draw_all
draw_all(*map(pathlib.Path, sys.argv[1:]))
"""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    clock: float
    processor: float
    peak: int


def measured(command: Sequence[str]) -> Cost:
    """Run it to its end."""
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], list(command), os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:4])} … ended with status {status}")
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def ways(folder: Path, data: Path) -> Mapping[str, Sequence[str]]:
    """Give the commands by what they are called."""
    asked = json.dumps({"folder": str(folder), "mount": str(data)})
    told, pictures = str(data / "told.json"), str(data / "pictures")
    python = sys.executable
    return {
        "report": [python, "-P", "-m", "qlib_shadow_runner.stages.steps", "report", asked, told],
        "by hand": [python, "-c", BY_HAND, str(artifacts_of(folder)), pictures],
        "imports": [python, "-c", IMPORTS],
    }


def table(costs: Mapping[str, Sequence[Cost]]) -> str:
    """Show the medians, and how often the report's processor seconds are contained in the others'."""
    middle = {name: statistics.median(cost.processor for cost in found) for name, found in costs.items()}
    lines = ["  way        processor       clock       peak   report takes"]
    for name, found in costs.items():
        clock = statistics.median(cost.clock for cost in found)
        peak = max(cost.peak for cost in found) / 2**20
        times = f"{middle['report'] / middle[name]:.2f} times that"
        lines.append(f"  {name:9}{middle[name]:9.2f} s {clock:9.2f} s {peak:6,.0f} MiB   {times}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the flags, make a run, measure."""
    parser = argparse.ArgumentParser(prog="make bench-report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--years", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many are told")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-report-") as place:
        data, days = Path(place), flags.years * TRADING_DAYS
        folder = make_place(data, symbols=flags.symbols, days=days)
        commands = ways(folder, data)
        rounds = [
            {name: measured(command) for name, command in commands.items()} for _ in range(flags.rounds)
        ]
        told = json.loads((data / "told.json").read_text())
        if "report_sha256" not in told:
            raise SystemExit(f"the report was not made: {told}")
        sys.stdout.write(f"{flags.symbols} symbols, {days:,} days, median of {flags.rounds} rounds\n")
        sys.stdout.write(table({name: [one[name] for one in rounds] for name in commands}))


if __name__ == "__main__":
    main()
