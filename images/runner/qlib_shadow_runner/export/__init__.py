"""What a run leaves for people and programs, made from the recorder's pickles. Needs pandas and pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import METADATA_FILE, METRICS_FILE, SIGNALS_STEM, SUMMARY_FILE, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export.metrics import compute_metrics
from qlib_shadow_runner.export.signals import rank_signals, write_signals
from qlib_shadow_runner.export.summary import render_summary
from qlib_shadow_runner.files import read_json_object, write_atomically, write_json

if TYPE_CHECKING:
    from pathlib import Path


def export_run(folder: Path, artifacts: Path, signals_format: str) -> dict[str, object]:
    """Write signals, metrics and summary; give back what the stage's result needs."""
    metadata = read_json_object(folder / METADATA_FILE) or {}
    signals = rank_signals(artifacts)
    name = f"{SIGNALS_STEM}.{signals_format}"
    for stale in folder.glob(f"{SIGNALS_STEM}.*"):
        stale.unlink()
    write_signals(signals, folder / name, metadata)
    metrics = compute_metrics(artifacts)
    if "ic" not in metrics:
        raise StageError(
            Reason.OUTPUT_INCOMPLETE, f"{artifacts} holds no information coefficient; see stdout.log."
        )
    identity = {"runId": metadata["run_id"], "configHash": metadata["config_hash"]}
    write_json(folder / METRICS_FILE, {**identity, **metrics})
    summary = render_summary(metadata, metrics, signals, name)
    write_atomically(folder / SUMMARY_FILE, summary.encode())
    return {
        "metrics": dict(metrics),
        "signals_file": name,
        "signals_rows": len(signals),
        "signals_first": str(signals["date"].min()),
        "signals_last": str(signals["date"].max()),
    }
