"""A finished run of any size on a volume of its own: recorder, export and dataset as real ones leave them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, calendar, make_run, write_dataset

from qlib_shadow_runner.export import export_run

if TYPE_CHECKING:
    from pathlib import Path


def make_place(data: Path, *, symbols: int, days: int) -> Path:
    """Leave a run folder that is done but for its report."""
    shape = Shape(days=days, symbols=symbols, start="2017-01-02")
    folder = make_run(data, "measured", shape, **research(shape))
    write_dataset(data, folder, shape)
    made = export_run(folder, artifacts_of(folder), "parquet")
    told = json.loads((folder / "RUN_METADATA.json").read_text())
    del made["metrics"]
    (folder / "RUN_METADATA.json").write_text(json.dumps({**told, **made}))
    return folder


def research(shape: Shape) -> dict[str, object]:
    """Say what the summary wants to know of a run, and what a template of ours would have said."""
    days = calendar(shape)
    span = [f"{days[0]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}"]
    return {
        "status": "running", "benchmark_excluded": True, "segments_chosen_by": "spec",
        "segments_rule": "the days of the manifest",
        "label_looks_ahead_days": 2,
        "backtest": span,
        "segments": dict.fromkeys(("train", "valid", "test"), span),
        "segment_days": dict.fromkeys(("train", "valid", "test"), shape.days),
        "strategy": {"topk": 50, "n_drop": 5},
        "exchange": {
            "account": 1e8, "deal_price": "close", "open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5,
            "impact_cost": 0.0, "limit_threshold": None, "trade_unit": None,
        },
    }  # fmt: skip
