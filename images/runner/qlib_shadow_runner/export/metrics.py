"""The figures of a run, from its tables; what cannot be computed is absent, never NaN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

import pandas as pd

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.pickles.files import BEFORE_TEST, IC, RANK_IC, RECORDED_IN, RISK, SEGMENT_IC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract import Metrics
    from qlib_shadow_runner.tables.layout import Tables

RISKS: Final[Mapping[str, str]] = {
    "annualizedReturn": "annualized_return",
    "informationRatio": "information_ratio",
    "maxDrawdown": "max_drawdown",
}
"""Our names and Qlib's; all are of the return in excess of the benchmark's."""


def compute_metrics(tables: Tables) -> Metrics:
    """Return every metric."""
    figures: dict[str, float] = {}
    for name, table in (("ic", IC), ("rankIc", RANK_IC)):
        series = tables.require(table).column(1).to_pandas().dropna()
        figures[name] = float(series.mean())
        deviation = float(series.std())
        figures[f"{name}ir"] = float(series.mean()) / deviation if deviation else math.nan
    risk = _risk(tables)
    for suffix, group in (("", "excess_return_with_cost"), ("WithoutCost", "excess_return_without_cost")):
        for ours, qlibs in RISKS.items():
            if (group, qlibs) not in risk:
                raise StageError(
                    Reason.OUTPUT_INCOMPLETE, f"{RECORDED_IN[RISK]} lacks {qlibs} of {group}; see stdout.log."
                )
            figures[f"{ours}{suffix}"] = risk[group, qlibs]
    figures |= {f"ic{segment.title()}": mean for segment, mean in _by_segment(tables).items()}
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    return cast("Metrics", finite)


def _by_segment(tables: Tables) -> dict[str, float]:
    """Return the mean IC of train and valid, where it was recorded."""
    table = tables.found.get(SEGMENT_IC)
    if table is None:
        return {}
    segments, ic = pd.Series(table["segment"].to_pylist(), dtype=object), table["ic"].to_pandas()
    return {name: float(ic[segments == name].mean()) for name in BEFORE_TEST}


def _risk(tables: Tables) -> dict[tuple[str, str], float]:
    """Return the risk figures by group and name."""
    table = tables.require(RISK)
    groups, figures, values = (table.column(place).to_pylist() for place in range(3))
    return {
        (group, figure): math.nan if value is None else value
        for group, figure, value in zip(groups, figures, values, strict=True)
    }
