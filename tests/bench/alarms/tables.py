"""The tables of docs/drift.md, from the figures of the simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.bench.alarms.calibration import EVALUATED_DAYS, HORIZONS, NEVER, SHIFTS, TOLD, TRAIN_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ONE_DAY: Final = HORIZONS[0]
UNTOLD: Final = "more than 5 years"


def cells() -> Iterator[tuple[int, int, float]]:
    """Return the horizons, evaluated days and strengths for which the figures are told."""
    for days in EVALUATED_DAYS:
        for strength in TOLD:
            yield ONE_DAY, days, strength
    for horizon in HORIZONS[1:]:
        yield horizon, EVALUATED_DAYS[-1], TOLD[-1]


def rings_together(document: Mapping[str, Any]) -> float:
    """Return the most false alarms in five years that all alerts have together."""
    figures = document["figures"]
    kinds = ("features", "scores", "turnover", "false")
    return sum(float(max(value for key, value in figures.items() if key.startswith(kind))) for kind in kinds)


def tables(document: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    return "\n".join([*_drift(document), "", *_decay(document)])


def _drift(document: Mapping[str, Any]) -> Iterator[str]:
    figures = document["figures"]
    yield "| measure | days of the reference | limit | false alarms in five years |"
    yield "|---|---:|---:|---:|"
    for measure, limits in document["drift"].items():
        for days, limit in limits:
            rings = [value for key, value in figures.items() if key.startswith(f"{measure} {days}")]
            yield f"| {measure} | {days} | {limit:.2f} | {max(rings):.2f} |"
    yield ""
    yield "| one feature shifted by | days of train | found within 20 days |"
    yield "|---|---:|---:|"
    for shift in SHIFTS:
        yield f"| {shift} deviations | {TRAIN_DAYS[-1]} | {figures[f'shift {shift}']:.0%} |"


def _decay(document: Mapping[str, Any]) -> Iterator[str]:
    figures = document["figures"]
    yield "| label over | evaluated days | daily ICIR | false alarms in five years | halved IC called after |"
    yield "|---:|---:|---:|---:|---:|"
    for horizon, days, strength in cells():
        name = f"{horizon} {days} {strength}"
        late = figures[f"late {name}"]
        told = f"{late:.0f} nights" if late < NEVER else UNTOLD
        icir = strength * horizon**0.5
        yield f"| {horizon} | {days} | {icir:.2f} | {figures[f'false {name}']:.2f} | {told} |"
