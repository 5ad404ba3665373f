"""Read folder names from stdin and answer each with a Parquet file of what Qlib reads there."""

from __future__ import annotations

import sys
from pathlib import Path

import qlib
from qlib.data import D

FIELDS = ["$open", "$high", "$low", "$close", "$volume", "$vwap", "$factor", "$change"]

for line in sys.stdin:
    folder = Path(line.strip())
    qlib.init(provider_uri=str(folder), region="us", kernels=1, logging_level=40)
    own = {f"${path.name.removesuffix('.day.bin')}" for path in folder.glob("features/*/*.day.bin")}
    found = D.features(D.instruments("all"), [*FIELDS, *sorted(own - {*FIELDS})], freq="day")
    target = folder.parent / f"{folder.name}.parquet"
    found.reset_index().to_parquet(target, index=False)
    sys.stdout.write(f"{target}\n")
    sys.stdout.flush()
