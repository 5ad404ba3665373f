"""The files of a run for people and programs, made from the recorder's tables. Needs pandas and pyarrow.

metrics           the figures in metrics.json
alarms            drift, and what a new model promises
ranked_signals    the table of ranked signals
summary           backtest_summary.md
write_files       writes them, each of them whole
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.verdict import judge
from qlib_shadow_runner.contract import METADATA_FILE, METRICS_FILE, SIGNALS_STEM, SUMMARY_FILE, Reason
from qlib_shadow_runner.contract.spec.workflow import Live
from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export.alarms import describe_alarms
from qlib_shadow_runner.export.metrics import compute_metrics
from qlib_shadow_runner.export.ranked_signals import (
    encode_signals,
    rank_signals,
    signals_sha256,
    with_expected_returns,
)
from qlib_shadow_runner.export.summary import render_summary
from qlib_shadow_runner.export.write_files import write_files
from qlib_shadow_runner.pickles.files import LIVE, PREDICTIONS
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.tables.conversion import convert
from qlib_shadow_runner.tables.files import encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.contract import Metrics
    from qlib_shadow_runner.tables.layout import Tables


def export_run(
    folder: Path, artifacts: Path, signals_format: str, *, faultless: bool = False
) -> dict[str, object]:
    """Write tables, signals, metrics and summary; return what the stage's result needs.

    If it must be faultless, as with a training of another run, nothing is written if a file cannot be read.
    """
    # Readers of signals need not import the libraries of the statistics.
    from qlib_shadow_runner.analysis.figures import ReportMaterial  # noqa: PLC0415
    from qlib_shadow_runner.analysis.live import live_rank_correlation  # noqa: PLC0415
    from qlib_shadow_runner.analysis.outputs import Outputs  # noqa: PLC0415

    tables = convert(folder, artifacts)
    if faultless and tables.faults:
        raise StageError(Reason.OUTPUT_INCOMPLETE, f"{tables.all_faults}.")
    before = read_json_object(folder / METADATA_FILE) or {}
    if before.get("live") == Live.REFIT:
        tables.require(LIVE)
    ranked, metrics = rank_signals(tables), compute_metrics(tables)
    if "ic" not in metrics:
        raise StageError(Reason.OUTPUT_INCOMPLETE, _without_ic(artifacts, tables))
    facts = RunFacts.of(before)
    outputs = Outputs(tables)
    figures = ReportMaterial(outputs, facts).figures
    signals = with_expected_returns(ranked, outputs.labels, facts)
    name = f"{SIGNALS_STEM}.{signals_format}"
    verdict = judge(figures, metrics, facts).headline
    found = {
        "signals_file": name,
        "verdict": verdict,
        **_describe(signals),
        "live_rank_correlation": live_rank_correlation(outputs),
        **_compare(signals, before),
        **describe_alarms(tables, metrics, before),
    }
    metadata = {**before, **found}
    contents = {
        **encode(tables),
        name: encode_signals(signals, name, metadata),
        METRICS_FILE: _metrics_document(metrics, metadata),
        SUMMARY_FILE: render_summary(metadata, metrics, figures, signals, name).encode(),
    }
    fault_point(QrunPoint.EXPORT_MADE)
    hashes = write_files(folder, contents)
    return {"metrics": dict(metrics), "outputs": hashes, **found}


def _without_ic(artifacts: Path, tables: Tables) -> str:
    """Return why no day has an information coefficient."""
    scores = tables.require(PREDICTIONS).to_pandas().groupby("date")["score"]
    if scores.max().equals(scores.min()):
        return (
            "the model gives every instrument the same score on each day, so there is no information "
            "coefficient: it has learned nothing; see stdout.log."
        )
    return f"{artifacts} holds no information coefficient; see stdout.log."


def _describe(signals: pd.DataFrame) -> dict[str, object]:
    return {
        "signals_sha256": signals_sha256(signals),
        "signals_rows": len(signals),
        "signals_first": f"{signals['date'].min():%Y-%m-%d}",
        "signals_last": f"{signals['date'].max():%Y-%m-%d}",
    }


def _compare(signals: pd.DataFrame, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return whether the signals equal those of the identical run; warn where they do not."""
    identical_run = metadata.get("identical_to")
    if not identical_run:
        return {"identical_signals": None}
    equal = signals_sha256(signals) == metadata.get("identical_to_signals_sha256")
    if not equal:
        print_error(
            f"warning: NOT REPRODUCED: the run {identical_run} asked the same of the same data with the same "
            "versions, and its signals differ from these. Compare the machines; suspect memory and disks."
        )
    return {"identical_signals": equal}


def _metrics_document(metrics: Metrics, metadata: Mapping[str, object]) -> bytes:
    identity = {"runId": metadata["run_id"], "configHash": metadata["config_hash"]}
    text = json.dumps({**identity, **metrics}, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"
