"""The figures of a run, from the recorder's artifacts; what cannot be computed is absent, never NaN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from qlib_shadow_runner.analysis.outputs import IC, PORTFOLIO, RANK_IC, read_artifact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.contract import Metrics

RISKS: Final[Mapping[str, str]] = {
    "annualizedReturn": "annualized_return",
    "informationRatio": "information_ratio",
    "maxDrawdown": "max_drawdown",
}
"""Our names and Qlib's; all are of the return in excess of the benchmark's."""


def compute_metrics(artifacts: Path) -> Metrics:
    """Return every metric, computed from the pickles."""
    figures: dict[str, float] = {}
    for name, file in (("ic", IC), ("rankIc", RANK_IC)):
        series = read_artifact(artifacts, file).iloc[:, 0].dropna()
        figures[name] = float(series.mean())
        deviation = float(series.std())
        figures[f"{name}ir"] = float(series.mean()) / deviation if deviation else math.nan
    risk = read_artifact(artifacts, PORTFOLIO)["risk"]
    for suffix, group in (("", "excess_return_with_cost"), ("WithoutCost", "excess_return_without_cost")):
        for ours, qlibs in RISKS.items():
            figures[f"{ours}{suffix}"] = float(risk[group, qlibs])
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    return cast("Metrics", finite)
