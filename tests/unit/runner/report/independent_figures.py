"""The report's figures worked out again, with NumPy and loops, straight from what Qlib recorded.

It knows neither empyrical nor the report's own code; conventions are those that the report states.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from scipy.fft import dct  # type: ignore[import-untyped]
from scipy.stats import kurtosis, norm, pearsonr, skew, spearmanr  # type: ignore[import-untyped]

from qlib_shadow_runner.pickles.arrays import day_of
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import state_of

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.pickles.nodes import Pairs

YEAR = 252


def performance(returns: np.ndarray) -> list[float]:
    """Return the lines of the table of compounded returns, in its order."""
    wealth = [1.0]
    for value in returns:
        wealth.append(wealth[-1] * (1 + value))
    annual = wealth[-1] ** (YEAR / len(returns)) - 1
    deviation = returns.std(ddof=1)
    downside = np.sqrt((np.minimum(returns, 0) ** 2).mean())
    worst = min(value / max(wealth[: i + 1]) - 1 for i, value in enumerate(wealth))
    return [
        wealth[-1] - 1,
        annual,
        deviation * YEAR**0.5,
        returns.mean() / deviation * YEAR**0.5,
        returns.mean() / downside * YEAR**0.5,
        annual / abs(worst),
        worst,
        returns.max(),
        returns.min(),
        (returns > 0).mean(),
        norm.ppf(0.05, returns.mean(), deviation),
        norm.expect(
            lambda x: x / 0.05,
            loc=returns.mean(),
            scale=deviation,
            ub=norm.ppf(0.05, returns.mean(), deviation),
        ),
        np.quantile(returns, 0.05),
        returns[returns <= np.quantile(returns, 0.05)].mean(),
        skew(returns, bias=False),
        kurtosis(returns, bias=False),
    ]


def drawdowns(net: pd.Series) -> list[tuple[float, str, str, str]]:
    """Return depth, peak, trough and recovery of the ten worst, by walking day by day."""
    found: list[tuple[float, str, str, str]] = []
    wealth = top = 1.0
    days = [f"{day:%Y-%m-%d}" for day in net.index]
    peak, depth, trough = days[0], 0.0, ""
    for day, value in zip(days, net, strict=True):
        wealth *= 1 + value
        if wealth >= top:
            if depth < 0:
                found.append((depth, peak, trough, day))
            top, peak, depth = wealth, day, 0.0
        elif wealth / top - 1 < depth:
            depth, trough = wealth / top - 1, day
    if depth < 0:
        found.append((depth, peak, trough, "not yet"))
    return sorted(found)[:10]


def compounded(returns: pd.Series, form: str) -> dict[str, float]:
    """Compound by year or month."""
    total: dict[str, float] = {}
    for day, value in returns.items():
        key = f"{day:{form}}"
        total[key] = (1 + total.get(key, 0.0)) * (1 + value) - 1
    return total


def beta_alpha(net: np.ndarray, bench: np.ndarray) -> tuple[float, float]:
    """Fit a line through the daily returns; alpha is compounded to a year."""
    slope, level = np.polyfit(bench, net, 1)
    return float(slope), float((1 + level) ** YEAR - 1)


def correlations(artifacts: Path) -> dict[str, list[float]]:
    """Return mean, deviation, ratio, t, days and share above zero of IC and Rank IC, from the scores."""
    both = pd.concat(
        [pd.read_pickle(artifacts / name).iloc[:, 0] for name in ("pred.pkl", "label.pkl")], axis=1
    )
    daily: dict[str, list[float]] = {"IC": [], "Rank IC": []}
    for _, part in both.groupby(level=0):
        scores, labels = part.dropna().to_numpy().T if len(part.dropna()) else ([], [])
        if len(scores) > 1:
            daily["IC"].append(pearsonr(scores, labels).statistic)
            daily["Rank IC"].append(spearmanr(scores, labels).statistic)
    return {name: _told(np.array(values)) for name, values in daily.items()}


def correlations_over(horizon: int, artifacts: Path, dataset: Path) -> dict[str, tuple[float, int]]:
    """Return the mean IC and Rank IC with the return from the next day's close, and the days."""
    scores = pd.read_pickle(artifacts / "pred.pkl")["score"]
    days = (dataset / "calendars/day.txt").read_text().split()
    daily: dict[str, list[float]] = {"IC": [], "Rank IC": []}
    for place, day in enumerate(days[: len(days) - 1 - horizon]):
        some = scores[pd.Timestamp(day)]
        closes = [bars(dataset, name, "close") for name in some.index]
        returns = [values[place + 1 + horizon] / values[place + 1] - 1 for values in closes]
        ranks = [np.argsort(np.argsort(values)) for values in (some.to_numpy(), np.array(returns))]
        daily["IC"].append(np.corrcoef(some.to_numpy(), returns)[0, 1])
        daily["Rank IC"].append(np.corrcoef(ranks[0], ranks[1])[0, 1])
    return {name: (float(np.mean(values)), len(values)) for name, values in daily.items()}


@cache
def bars(dataset: Path, symbol: str, field: str) -> list[float]:
    """Return a field's values; these files begin on the first day."""
    content = (dataset / "features" / symbol.lower() / f"{field}.day.bin").read_bytes()
    start, *values = struct.unpack(f"<{len(content) // 4}f", content)
    assert start == 0
    return values


def trades(artifacts: Path) -> list[tuple[str, str, float]]:
    """Return day, instrument and change of the shares, from the positions of each two days."""
    found: list[tuple[str, str, float]] = []
    before: dict[str, float] = {}
    content = (artifacts / "portfolio_analysis/positions_normal_1day.pkl").read_bytes()
    for day, one in cast("Pairs", read_pickle(content)):
        held = state_of(one)["position"].by_text()
        now = {name: shares.by_text()["amount"] for name, shares in held.items() if name[0] == "S"}
        changes = {name: now.get(name, 0) - before.get(name, 0) for name in before.keys() | now.keys()}
        found += [
            (str(np.datetime64(day_of(day), "D")), name, change) for name, change in changes.items() if change
        ]
        before = now
    return found


def _told(values: np.ndarray) -> list[float]:
    deviation = values.std(ddof=1)
    t = t_by_cosines(values, int(0.4 * len(values) ** (2 / 3)))
    return [values.mean(), deviation, values.mean() / deviation, t, len(values), (values > 0).mean()]


def t_by_cosines(values: np.ndarray, cosines: int) -> float:
    """Return the mean in standard errors, with the variance of the first terms of a cosine transform."""
    terms = dct(values - values.mean(), norm="ortho")[1 : cosines + 1]
    return float(values.mean() / np.sqrt((terms**2).mean() / len(values)))


def fifths(artifacts: Path) -> list[float]:
    """Return the mean label of each fifth, the best first, from sorting each day by hand."""
    scores, labels = (pd.read_pickle(artifacts / name).iloc[:, 0] for name in ("pred.pkl", "label.pkl"))
    days: list[list[float]] = []
    for day in scores.index.get_level_values(0).unique():
        rows = pd.DataFrame({"s": scores[day], "l": labels[day]}).dropna().to_numpy().tolist()
        if len(rows) < 10:
            continue
        rows.sort(key=lambda row: -row[0])
        groups: list[list[float]] = [[] for _ in range(5)]
        for place, (_, label) in enumerate(rows):
            groups[int(place * 5 / len(rows))].append(label)
        days.append([float(np.mean(group)) for group in groups])
    return [float(value) for value in np.mean(days, axis=0)]
