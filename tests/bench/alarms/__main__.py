"""`make calibrate`: find the limits of drift and decay by simulation, and write them with what they do.

It writes drift/thresholds.json of the package and prints the tables of docs/drift.md. The exit code is 1
where the limits have more than one false alarm in five years.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Final

from tests.bench.alarms import calibration
from tests.bench.alarms.tables import cells, rings_together, tables

from qlib_shadow_runner.drift.thresholds import FILE, thresholds_of

MOST_FALSE: Final = 1.0


def main() -> int:
    """Read the flags, simulate, write, print the tables."""
    parser = argparse.ArgumentParser(prog="make calibrate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markets", type=int, default=120, help="of five years, for the limits of drift")
    parser.add_argument("--streams", type=int, default=4000, help="of live ICs, for each limit of decay")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    nights = calibration.in_markets(flags.seed, flags.markets, flags.processes)
    drift = calibration.drift_limits(nights)
    document = {
        "made_by": "make calibrate",
        "seed": flags.seed,
        "markets": flags.markets,
        "streams": flags.streams,
        "live_days": calibration.LIVE_DAYS,
        "drift": drift,
        "decay": calibration.decay_limits(flags.seed, flags.streams, flags.processes),
    }
    others = calibration.in_markets(flags.seed + 1, flags.markets // 2, flags.processes)
    document["figures"] = {
        **calibration.drift_figures(others, drift),
        **calibration.decay_figures(thresholds_of(document), flags.seed + 1, flags.streams, cells()),
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(tables(document) + "\n")
    rings = rings_together(document)
    sys.stdout.write(f"false alarms in five years, all together, at most: {rings:.2f}\n")
    return 0 if rings <= MOST_FALSE else 1


if __name__ == "__main__":
    sys.exit(main())
