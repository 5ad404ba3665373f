"""The report's figures worked out again, with NumPy and loops, straight from what Qlib recorded.

It knows neither empyrical nor the report's own code; conventions are those that the report states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.fft import dct  # type: ignore[import-untyped]
from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

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
    ]


def drawdowns(net: pd.Series) -> list[tuple[float, str, str, str]]:
    """Return depth, peak, trough and recovery of the five worst, by walking day by day."""
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
    return sorted(found)[:5]


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
