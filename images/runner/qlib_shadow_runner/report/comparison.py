"""Several runs side by side: their figures with the best one marked, and their differences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportFigures, ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs, read_metadata
from qlib_shadow_runner.analysis.paired import PairedDifference, paired_difference
from qlib_shadow_runner.contract import METRICS_FILE
from qlib_shadow_runner.report.formats import signed
from qlib_shadow_runner.report.settings import by_path, workflow_settings
from qlib_shadow_runner.runs.values import number
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.tables.files import read_tables
from qlib_shadow_runner.texts import ABSENT, figure, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.analysis.backtest import Backtest

ASKED: Final = ("template", "model", "handler", "seed", "market", "market_size", "benchmark", "segments")
"""The keys of a run's metadata that identify its configuration."""
ORIGIN: Final = (
    "dataset_source", "dataset_fingerprint", "dataset_start", "dataset_end", "dataset_days",
    "dataset_instruments", "dataset_quality", "git_commit", "image", "python", "packages", "config_hash",
)  # fmt: skip
"""The keys of a run's metadata that identify data and code."""
LONGEST_LIST: Final = 8
FIRST_OF_LIST: Final = 4
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

    @property
    def horizon(self) -> int:
        """Return over how many days the label reaches: so many neighbouring days overlap."""
        return RunFacts.of(self.metadata).horizon

    @classmethod
    def read(cls, folder: Path) -> Compared:
        """Return the run of a folder."""
        metadata = read_metadata(folder)
        material = ReportMaterial(Outputs(read_tables(folder, metadata)), RunFacts.of(metadata))
        return cls(
            run_id=str(metadata.get("run_id")),
            metadata=metadata,
            metrics=read_json_object(folder / METRICS_FILE) or {},
            figures=material.figures,
            outputs=material.outputs,
            backtest=material.backtest,
            workflow=workflow_settings(folder),
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
    is_parameter: bool
    """Whether it is a parameter of the workflow; otherwise it describes the data or the code."""

    @property
    def groups(self) -> list[tuple[list[int], str]]:
        """Return each value with the numbers of the runs that have it, long lists folded."""
        found: dict[str, list[int]] = {}
        for place, value in enumerate(self.values, start=1):
            found.setdefault(value, []).append(place)
        return [(numbers, folded(value)) for value, numbers in found.items()]


def folded(value: str) -> str:
    """Return a setting's text with the middle of a long list left out."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    if not isinstance(found, list) or len(found) <= LONGEST_LIST:
        return value
    first, last = (json.dumps(part, ensure_ascii=False)[1:-1] for part in (found[:FIRST_OF_LIST], found[-1:]))
    return f"[{first}, … {len(found) - FIRST_OF_LIST - 1} more …, {last}]"


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
    _metric("Drawdown of summed excess returns", "maxDrawdown", percent),
    _metric("IC", "ic", _three),
    _metric("ICIR", "icir", _three),
    _metric("Rank IC", "rankIc", _three),
    _metric("Rank ICIR", "rankIcir", _three),
    Measure("IC on train", lambda run: run.metrics.get("icTrain"), _three, None),
    Measure("IC on valid", lambda run: run.metrics.get("icValid"), _three, None),
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

MAIN: Final = (
    "Excess return a year",
    "Information ratio",
    "IC",
    "Rank IC",
    "Sharpe ratio",
    "Maximum drawdown",
)


def rows(runs: Sequence[Compared]) -> list[ComparedFigure]:
    """Return each figure with its value in every run."""
    return [_row(measure, runs) for measure in MEASURES]


def main_rows(runs: Sequence[Compared]) -> list[ComparedFigure]:
    """Return the figures that a table with a row for each run has room for."""
    return [found for found in rows(runs) if found.name in MAIN]


def _row(measure: Measure, runs: Sequence[Compared]) -> ComparedFigure:
    values = [number(measure.read(run)) for run in runs]
    there = [value for value in values if value is not None]
    best: frozenset[int] = frozenset()
    if measure.better and len({measure.show(value) for value in there}) > 1:
        shown = measure.show(measure.better(there))
        best = frozenset(place for place, value in enumerate(values) if measure.show(value) == shown)
    return ComparedFigure(measure.name, values, best, measure.show)


def differences(runs: Sequence[Compared]) -> list[Difference]:
    """Return the differences: parameters first, then data and code."""
    asked = [{**_described(run.metadata, ASKED), **run.workflow} for run in runs]
    origin = [_described(run.metadata, ORIGIN) for run in runs]
    return [*_differing(asked, is_parameter=True), *_differing(origin, is_parameter=False)]


@dataclass(frozen=True)
class AgainstTheFirst:
    """A run against the first: the differences of daily IC and of daily return after costs."""

    number: int
    run_id: str
    ic: PairedDifference | None
    returns: PairedDifference | None


def against_the_first(runs: Sequence[Compared]) -> list[AgainstTheFirst]:
    """Return the paired differences of each other run to the first, on the days that both have."""
    first = runs[0]
    return [
        AgainstTheFirst(
            number,
            run.run_id,
            paired_difference(run.outputs.ic, first.outputs.ic, max(run.horizon, first.horizon)),
            paired_difference(_net(run), _net(first)),
        )
        for number, run in enumerate(runs[1:], start=2)
    ]


def _net(run: Compared) -> pd.Series | None:
    return None if run.backtest is None else run.backtest.net


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


def _differing(sides: Sequence[Mapping[str, str]], *, is_parameter: bool) -> Iterator[Difference]:
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [side.get(name, ABSENT) for side in sides]
        if len(set(values)) > 1:
            yield Difference(name, values, is_parameter)


def _described(metadata: Mapping[str, object], keys: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in keys:
        value = metadata.get(key)
        if key == "dataset_quality":
            value = value.get(QUALITY) if isinstance(value, dict) else None
        found.update(by_path(key, value))
    return found
