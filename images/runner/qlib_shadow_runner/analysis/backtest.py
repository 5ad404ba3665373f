"""What the simulated portfolio earned, day by day: the series that figures and charts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.statistics import empyrical, undefined_is_nan

if TYPE_CHECKING:
    from collections.abc import Iterator

YEAR = 252
"""Days a year, as empyrical counts them; Qlib counts 238."""
WINDOWS = (126, 63, 21)
"""Days that a rolling figure looks back; the longest that leaves as many days to show."""


@dataclass(frozen=True)
class Drawdown:
    """A fall from a peak, and the way back if there was one."""

    depth: float
    peak: pd.Timestamp
    trough: pd.Timestamp
    recovery: pd.Timestamp | None
    days: int
    """Trading days from the peak to the recovery, or to the end."""


@dataclass(frozen=True)
class Backtest:
    """Qlib's daily account, without the days on which it has no return."""

    table: pd.DataFrame

    @classmethod
    def of(cls, report: pd.DataFrame | None) -> Backtest | None:
        """Take a report, if it tells anything."""
        if report is None or not {"return", "cost"} <= set(report.columns):
            return None
        table = report[report["return"].notna()].astype("float64")
        return cls(table) if len(table) else None

    @property
    def days(self) -> int:
        """Count the days."""
        return len(self.table)

    @cached_property
    def gross(self) -> pd.Series:
        """Give the daily return before costs."""
        return self.table["return"]

    @cached_property
    def cost(self) -> pd.Series:
        """Give the daily cost as a share of the account."""
        return self.table["cost"].fillna(0.0)

    @cached_property
    def net(self) -> pd.Series:
        """Give the daily return after costs."""
        return self.gross - self.cost

    @cached_property
    def benchmark(self) -> pd.Series | None:
        """Give the benchmark's daily return; None where there is no benchmark that moves."""
        found = self.table.get("bench")
        return None if found is None or not found.fillna(0.0).any() else found.fillna(0.0)

    @cached_property
    def excess(self) -> pd.Series | None:
        """Give the daily difference to the benchmark after costs, as Qlib has it."""
        return None if self.benchmark is None else self.net - self.benchmark

    @cached_property
    def turnover(self) -> pd.Series | None:
        """Give what was traded each day as a share of the account."""
        return self.table.get("turnover")

    @cached_property
    def invested(self) -> pd.Series | None:
        """Give the share of the account that was in shares at the end of each day."""
        if not {"value", "account"} <= set(self.table.columns):
            return None
        return self.table["value"] / self.table["account"]

    @cached_property
    def window(self) -> int | None:
        """Choose how far rolling figures look back."""
        return next((days for days in WINDOWS if self.days >= 2 * days), None)

    @property
    def underwater(self) -> pd.Series:
        """Give how far below its last peak the portfolio is, after costs."""
        return drawdowns_of(self.net)

    @cached_property
    def months(self) -> dict[int, dict[int, float]]:
        """Give the compounded return of each month after costs, by year."""
        found: dict[int, dict[int, float]] = {}
        for (year, month), value in empyrical.aggregate_returns(self.net, "monthly").items():
            found.setdefault(int(year), {})[int(month)] = float(value)
        return found

    def worst(self, count: int = 5) -> list[Drawdown]:
        """Find the deepest falls after costs."""
        return sorted(_falls(self.underwater), key=lambda fall: fall.depth)[:count]

    def rolling(self, name: str) -> pd.Series | None:
        """Give empyrical's rolling figure of this name, at each window's last day."""
        if self.window is None:
            return None
        with undefined_is_nan():
            found: pd.Series = getattr(empyrical, f"roll_{name}")(self.net, window=self.window)
        return found


def grown(returns: pd.Series) -> pd.Series:
    """Compound daily returns into the total since the start."""
    found: pd.Series = empyrical.cum_returns(returns)
    return found


def drawdowns_of(returns: pd.Series) -> pd.Series:
    """Give the distance to the last peak, each day; the start is a peak too."""
    wealth = 1 + grown(returns)
    return wealth / wealth.cummax().clip(lower=1.0) - 1


def _falls(underwater: pd.Series) -> Iterator[Drawdown]:
    """Cut the series where it is at a peak."""
    depths, days = underwater.to_numpy(), pd.DatetimeIndex(underwater.index)
    turns = np.flatnonzero(np.diff(depths < 0, prepend=False, append=False))
    for first, after in turns.reshape(-1, 2).tolist():
        peak, trough = max(first - 1, 0), first + int(depths[first:after].argmin())
        recovered = after < len(days)
        yield Drawdown(
            depth=float(depths[trough]),
            peak=days[peak],
            trough=days[trough],
            recovery=days[after] if recovered else None,
            days=after - peak - (not recovered),
        )
