"""A finished run of any size on a volume of its own: recorder, export and dataset as real ones leave them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, calendar, make_run

from qlib_shadow_runner.export import export_run

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = ("open", "high", "low", "close", "volume", "factor", "change")


def make_place(data: Path, *, symbols: int, days: int) -> Path:
    """Leave a run folder that is done but for its report."""
    shape = Shape(days=days, symbols=symbols, start="2017-01-02")
    folder = make_run(data, "measured", shape, **research(shape))
    _dataset(data, folder, shape)
    made = export_run(folder, artifacts_of(folder), "parquet")
    told = json.loads((folder / "RUN_METADATA.json").read_text())
    del made["metrics"], made["outputs"]
    (folder / "RUN_METADATA.json").write_text(json.dumps({**told, **made}))
    return folder


def research(shape: Shape) -> dict[str, object]:
    """Say what the summary wants to know of a run, and what a template of ours would have said."""
    days = calendar(shape)
    span = [f"{days[0]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}"]
    return {
        "benchmark_excluded": True, "segments_chosen_by": "spec", "label_looks_ahead_days": 2,
        "backtest": span,
        "segments": dict.fromkeys(("train", "valid", "test"), span),
        "segment_days": dict.fromkeys(("train", "valid", "test"), shape.days),
        "strategy": {"topk": 50, "n_drop": 5},
        "exchange": {
            "account": 1e8, "deal_price": "close", "open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5,
            "impact_cost": 0.0, "limit_threshold": None, "trade_unit": None,
        },
    }  # fmt: skip


def _dataset(data: Path, folder: Path, shape: Shape) -> None:
    """Write a dataset of the run's size, since a report's checklist reads every byte of it."""
    told = json.loads((folder / "RUN_METADATA.json").read_text())
    home = data.joinpath(*str(told["dataset_resolved_path"]).split("/")[2:])
    days = [f"{day:%Y-%m-%d}\n" for day in calendar(shape)]
    for name in ("calendars", "instruments"):
        (home / name).mkdir(parents=True)
    (home / "calendars/day.txt").write_text("".join(days))
    names = [f"S{number:03}" for number in range(shape.symbols)]
    lines = [f"{name}\t{days[0].strip()}\t{days[-1]}" for name in names]
    (home / "instruments/us.txt").write_text("".join(lines))
    bars = np.arange(shape.days + 1, dtype="<f4")
    for name in names:
        place = home / "features" / name.lower()
        place.mkdir(parents=True)
        for field in FIELDS:
            bars.tofile(place / f"{field}.day.bin")
