"""Several runs side by side: their figures with the best one marked, and their differences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.analysis.figures import ReportFigures, ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs, read_metadata
from qlib_shadow_runner.contract import METRICS_FILE, WORKFLOW_FILE
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.report.formats import ABSENT, figure, percent, signed
from qlib_shadow_runner.runs.values import number
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.tables.files import read_tables
from qlib_shadow_runner.workflow.read_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.analysis.backtest import Backtest

DESCRIBING: Final = (
    "template", "model", "handler", "seed", "market", "market_size", "benchmark", "segments", "backtest",
    "dataset_source", "dataset_fingerprint", "dataset_start", "dataset_end", "dataset_days",
    "dataset_instruments", "dataset_quality", "git_commit", "image", "python", "packages", "config_hash",
)  # fmt: skip
"""The keys of a run's metadata that identify configuration, data and code."""
INCIDENTAL: Final = ("num_threads", "kernels", "provider_uri", "experiment_name")
"""Suffixes of a workflow's settings that do not change the result."""
QUALITY: Final = "overall_state"


@dataclass(frozen=True)
class Compared:
    """The parts of a run that are compared."""

    run_id: str
    metadata: Mapping[str, object]
    metrics: Mapping[str, object]
    figures: ReportFigures
    outputs: Outputs
    backtest: Backtest | None
    workflow: Mapping[str, str]
    """The workflow's settings by path."""

    @classmethod
    def read(cls, folder: Path) -> Compared:
        """Return the run of a folder."""
        metadata = read_metadata(folder)
        material = ReportMaterial(Outputs(read_tables(folder, metadata)))
        return cls(
            run_id=str(metadata.get("run_id")),
            metadata=metadata,
            metrics=read_json_object(folder / METRICS_FILE) or {},
            figures=material.figures,
            outputs=material.outputs,
            backtest=material.backtest,
            workflow=_workflow(folder),
        )


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of each run."""

    name: str
    values: list[float | None]
    best: frozenset[int]
    """The indices of the runs with the best value as shown; empty if all are equal."""
    show: Callable[[object], str]


@dataclass(frozen=True)
class Difference:
    """One setting that differs between runs."""

    name: str
    values: list[str]


@dataclass(frozen=True)
class Measure:
    """A figure to compare."""

    name: str
    read: Callable[[Compared], object]
    show: Callable[[object], str]
    better: Callable[[Sequence[float]], float] | None = max


def _metric(name: str, key: str, show: Callable[[object], str]) -> Measure:
    return Measure(name, lambda run: run.metrics.get(key), show)


def _of_net(name: str, key: str, show: Callable[[object], str], better: Any = max) -> Measure:
    return Measure(
        name, lambda run: getattr(getattr(run.figures.summary, "net", None), key, None), show, better
    )


def _of_trading(name: str, key: str, show: Callable[[object], str]) -> Measure:
    def read(run: Compared) -> object:
        return getattr(getattr(run.figures.summary, "trading", None), key, None)

    return Measure(name, read, show, min)


def _three(value: object) -> str:
    return figure(value, 3)


MEASURES: Final = (
    _metric("Excess return a year", "annualizedReturn", signed),
    _metric("before costs", "annualizedReturnWithoutCost", signed),
    _metric("Information ratio", "informationRatio", figure),
    _metric("Largest loss to benchmark", "maxDrawdown", percent),
    _metric("IC", "ic", _three),
    _metric("ICIR", "icir", _three),
    _metric("Rank IC", "rankIc", _three),
    _metric("Rank ICIR", "rankIcir", _three),
    _of_net("Return a year", "annual", signed),
    _of_net("Volatility a year", "volatility", percent, min),
    _of_net("Sharpe ratio", "sharpe", figure),
    _of_net("Maximum drawdown", "max_drawdown", percent),
    _of_trading("Turnover a year", "turnover", figure),
    _of_trading("Costs a year", "cost", percent),
    Measure(
        "Days", lambda run: run.backtest.days if run.backtest else None, lambda value: figure(value, 0), None
    ),
)


def rows(runs: Sequence[Compared]) -> list[ComparedFigure]:
    """Return each figure with its value in every run."""
    return [_row(measure, runs) for measure in MEASURES]


def _row(measure: Measure, runs: Sequence[Compared]) -> ComparedFigure:
    values = [number(measure.read(run)) for run in runs]
    there = [value for value in values if value is not None]
    best: frozenset[int] = frozenset()
    if measure.better and len({measure.show(value) for value in there}) > 1:
        shown = measure.show(measure.better(there))
        best = frozenset(place for place, value in enumerate(values) if measure.show(value) == shown)
    return ComparedFigure(measure.name, values, best, measure.show)


def differences(runs: Sequence[Compared]) -> list[Difference]:
    """Return the differences: configuration, data and code first, then the workflow's settings."""
    described = [_described(run.metadata) for run in runs]
    return [*_differing(described), *_differing([run.workflow for run in runs])]


def cautions(runs: Sequence[Compared]) -> list[str]:
    """Return the reasons why the runs are not directly comparable."""
    sentences = []
    spans = {(run.figures.summary.first, run.figures.summary.last) for run in runs if run.figures.summary}
    if len(spans) > 1:
        days = ", ".join(f"{first} to {last}" for first, last in sorted(spans))
        sentences.append(
            f"The backtests are of different days ({days}): some of the difference is the market's."
        )
    if len({run.metadata.get("benchmark") for run in runs}) > 1:
        sentences.append("The benchmarks differ: excess returns are against different things.")
    if len({run.metadata.get("dataset_fingerprint") for run in runs}) > 1:
        sentences.append("The data differs: some of the difference is the data's.")
    sentences += [f"{run.run_id}: {fault}" for run in runs for fault in run.figures.missing]
    return sentences


def _differing(sides: Sequence[Mapping[str, str]]) -> Iterator[Difference]:
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [side.get(name, ABSENT) for side in sides]
        if len(set(values)) > 1:
            yield Difference(name, values)


def _described(metadata: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in DESCRIBING:
        value = metadata.get(key)
        if key == "dataset_quality":
            value = value.get(QUALITY) if isinstance(value, dict) else None
        found.update(_flat(key, value))
    return found


def _workflow(folder: Path) -> dict[str, str]:
    """Return the settings of the workflow that was run; they are empty if it cannot be read."""
    try:
        document = read_document((folder / WORKFLOW_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StageError):
        return {}
    settings = _flat("", document)
    return {name: value for name, value in settings.items() if not name.endswith(INCIDENTAL)}


def _flat(name: str, value: object) -> dict[str, str]:
    """Return each setting by its path."""
    if isinstance(value, dict):
        inner = [_flat(f"{name}.{key}" if name else str(key), part) for key, part in value.items()]
        return {key: part for found in inner for key, part in found.items()}
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return _flat(name, {str(number): part for number, part in enumerate(value)})
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return {name: text}
