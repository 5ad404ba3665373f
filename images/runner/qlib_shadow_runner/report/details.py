"""What only the page shows: the learning curve, the last trades, and what the run's dataset adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.learning import LearningCurve, read_learning_curve
from qlib_shadow_runner.analysis.positions import LastDay, trades_of
from qlib_shadow_runner.contract import MLRUNS
from qlib_shadow_runner.report.market import (
    HorizonCorrelation,
    OrderSizes,
    correlations_by_horizon,
    order_sizes,
)
from qlib_shadow_runner.runs.mlruns import finished_run, recorded_runs
from qlib_shadow_runner.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.analysis.figures import ReportMaterial
    from qlib_shadow_runner.analysis.positions import Trade


@dataclass(frozen=True)
class Details:
    """They are None or empty where the run or its dataset does not have them; `missing` says why."""

    curve: LearningCurve | None
    last: LastDay | None
    horizons: list[HorizonCorrelation]
    orders: OrderSizes | None
    missing: list[str]

    @classmethod
    def of(
        cls, material: ReportMaterial, folder: Path, metadata: Mapping[str, object], dataset: Path | None
    ) -> Details:
        """Return what the recorder's outputs, its metrics by round and the dataset have."""
        missing: list[str] = []
        positions = material.outputs.positions
        trades = trades_of(positions)
        curve = _curve(folder, metadata, missing)
        if positions is not None and trades is None:
            missing.append("The positions do not say how many shares were held: there are no trades.")
        return cls(
            curve=curve,
            last=LastDay.of(positions, trades),
            horizons=_horizons(dataset, material, missing),
            orders=_orders(dataset, trades, missing),
            missing=missing,
        )


def _metrics_of(folder: Path, metadata: Mapping[str, object]) -> str | None:
    """Return the folder of the metrics by step, of the MLflow run that the metadata names."""
    mlruns = folder / MLRUNS
    named = [run for run in recorded_runs(mlruns) if run.run_id == metadata.get("mlflow_run_id")]
    found = named[0] if named else finished_run(mlruns, str(metadata.get("run_id")))
    return f"{found.folder.relative_to(folder)}/metrics" if found else None


def _curve(folder: Path, metadata: Mapping[str, object], missing: list[str]) -> LearningCurve | None:
    try:
        metrics = _metrics_of(folder, metadata)
        curve = None if metrics is None else read_learning_curve(folder, metrics)
    except (OSError, ValueError) as error:
        missing.append(
            f"The metrics by round cannot be read ({one_line(error)}): there is no learning curve."
        )
        return None
    if curve is None:
        missing.append("No error by round was recorded for train and valid: there is no learning curve.")
    return curve


def _horizons(dataset: Path | None, material: ReportMaterial, missing: list[str]) -> list[HorizonCorrelation]:
    scores = material.signals.table
    if scores is None:
        return []
    found = [] if dataset is None else correlations_by_horizon(dataset, scores)
    if not found:
        missing.append("The run's dataset has no closes for these days: there is no IC by horizon.")
    return found


def _orders(dataset: Path | None, trades: list[Trade] | None, missing: list[str]) -> OrderSizes | None:
    if not trades:
        return None
    found = None if dataset is None else order_sizes(dataset, trades)
    if found is None:
        missing.append("The run's dataset has no volume for these trades: orders are not compared with it.")
    return found
