"""A made model's report: its figures and its verdict, by the code that every run's report uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs
from qlib_shadow_runner.analysis.verdict import judge
from qlib_shadow_runner.tables.layout import Tables

if TYPE_CHECKING:
    from tests.bench.verdict.made_markets import Model

    from qlib_shadow_runner.analysis.figures import ReportFigures
    from qlib_shadow_runner.analysis.verdict import Verdict


def recorded(model: Model) -> Outputs:
    """Return what a recorder would have left of a model."""
    days = pd.bdate_range("2020-01-01", periods=len(model.returns), name="datetime")
    names = [f"S{number:03}" for number in range(model.returns.shape[1])]
    index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
    account = pd.DataFrame(
        {"return": model.portfolio, "cost": 0.0, "bench": model.returns.mean(axis=1)}, index=days
    )
    ranks = pd.DataFrame(model.scores).rank(axis=1), pd.DataFrame(model.labels).rank(axis=1)
    found = Outputs(Tables({}, {}))
    found.__dict__.update(
        backtest=account,
        ic=pd.Series(model.ic, index=days),
        rank_ic=pd.Series(ranks[0].corrwith(ranks[1], axis=1).to_numpy(), index=days),
        scores=pd.Series(model.scores.ravel(), index=index),
        labels=pd.Series(model.labels.ravel(), index=index),
        holdings=None,
        frozen=None,
        rounds=None,
        gains=None,
    )
    return found


def report_on(model: Model) -> tuple[ReportFigures, Verdict]:
    """Return figures and verdict of a model."""
    facts = RunFacts(horizon=model.horizon, topk=20)
    figures = ReportMaterial(recorded(model), facts).figures
    excess = model.portfolio - model.returns.mean(axis=1)
    metrics: dict[str, object] = {
        "annualizedReturn": float(excess.mean() * 238),
        "informationRatio": float(excess.mean() / excess.std() * np.sqrt(238)),
    }
    return figures, judge(figures, metrics, facts)
