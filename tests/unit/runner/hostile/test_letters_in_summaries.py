"""The summary of a run is read in many programs: no letter in it is hidden, and no value adds a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.runner.hostile.hostile_values import LETTERS, is_seen
from tests.unit.runner.report.recorded_runs import Shape, make_run
from tests.unit.runner.report.test_report_figures_are_right import ASKED

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs
from qlib_shadow_runner.export.metrics import compute_metrics
from qlib_shadow_runner.export.ranked_signals import rank_signals
from qlib_shadow_runner.export.summary import render_summary
from qlib_shadow_runner.tables.files import read_tables

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("name", "uid", "dataset_source", "market", "market_chosen_by", "benchmark", "template", "model")


def test_letters_of_strangers_are_escapes_in_the_summary(tmp_path: Path):
    """Each value stays within its row; notes about renamed symbols stay one line each."""
    folder = make_run(tmp_path, shape=Shape(days=60, symbols=6))
    run = {**json.loads((folder / "RUN_METADATA.json").read_text()), **ASKED}
    tables = read_tables(folder, run)
    figures = ReportMaterial(Outputs(tables), RunFacts.of(run)).figures
    signals, metrics = rank_signals(tables), compute_metrics(tables)

    def summary(letters: str) -> list[str]:
        hostile = (
            run
            | dict.fromkeys(WORDS, f"x{letters}x")
            | {
                "dataset_notes": [f"A{letters} is B"],
                "dataset_prices_read_from": f"/p{letters}",
            }
        )
        text = render_summary(hostile, metrics, figures, signals, "signals_ranked.parquet")
        assert is_seen(text)
        return text.splitlines()

    usual = summary("")
    for letters in LETTERS:
        assert len(summary(letters)) == len(usual)
