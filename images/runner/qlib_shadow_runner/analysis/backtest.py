"""The simulated portfolio's returns, day by day: the series behind figures and charts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.statistics import empyrical, undefined_is_nan

if TYPE_CHECKING:
    from collections.abc import Iterator

YEAR = 252
"""Trading days a year, as in empyrical; Qlib counts 238."""
WINDOWS = (126, 63, 21)
"""Windows of rolling figures; the longest one that leaves as many days to show is used."""


@dataclass(frozen=True)
class Drawdown:
    """A fall from a peak, and the recovery if there was one."""

    depth: float
    peak: pd.Timestamp
    trough: pd.Timestamp
    recovery: pd.Timestamp | None
    days: int
    """Trading days from the peak to the recovery, or to the end."""


@dataclass(frozen=True)
class Backtest:
    """Qlib's daily account of the portfolio, without days that have no return."""

    table: pd.DataFrame

    @classmethod
    def of(cls, account: pd.DataFrame | None) -> Backtest | None:
        """Return the backtest of Qlib's daily account, or None if there is no return in it."""
        if account is None or not {"return", "cost"} <= set(account.columns):
            return None
        table = account[account["return"].notna()].astype("float64")
        return cls(table) if len(table) else None

    @property
    def days(self) -> int:
        """Return the number of days."""
        return len(self.table)

    @cached_property
    def gross(self) -> pd.Series:
        """Return the daily return before costs."""
        return self.table["return"]

    @cached_property
    def cost(self) -> pd.Series:
        """Return the daily cost as a share of the account."""
        return self.table["cost"].fillna(0.0)

    @cached_property
    def net(self) -> pd.Series:
        """Return the daily return after costs."""
        return self.gross - self.cost

    @cached_property
    def benchmark(self) -> pd.Series | None:
        """Return the benchmark's daily return; None where there is no benchmark that moves."""
        found = self.table.get("bench")
        return None if found is None or not found.fillna(0.0).any() else found.fillna(0.0)

    @cached_property
    def excess(self) -> pd.Series | None:
        """Return the daily difference to the benchmark after costs, as Qlib has it."""
        return None if self.benchmark is None else self.net - self.benchmark

    @cached_property
    def gross_excess(self) -> pd.Series | None:
        """Return the daily difference to the benchmark before costs."""
        return None if self.benchmark is None else self.gross - self.benchmark

    @cached_property
    def turnover(self) -> pd.Series | None:
        """Return what was traded each day as a share of the account."""
        return self.table.get("turnover")

    @cached_property
    def invested(self) -> pd.Series | None:
        """Return the share of the account that was in shares at the end of each day."""
        if not {"value", "account"} <= set(self.table.columns):
            return None
        return self.table["value"] / self.table["account"]

    @cached_property
    def window(self) -> int | None:
        """Return the window of rolling figures, or None if there are too few days."""
        return next((days for days in WINDOWS if self.days >= 2 * days), None)

    @property
    def underwater(self) -> pd.Series:
        """Return how far the portfolio is below its last peak, after costs."""
        return drawdowns_of(self.net)

    @cached_property
    def months(self) -> dict[int, dict[int, float]]:
        """Return the compounded return of each month after costs, by year."""
        found: dict[int, dict[int, float]] = {}
        key: Any
        for key, value in _compounded(self.net, "monthly").dropna().items():
            found.setdefault(int(key[0]), {})[int(key[1])] = float(value)
        return found

    def worst(self, count: int = 10) -> list[Drawdown]:
        """Return the deepest falls, after costs."""
        return sorted(_falls(self.underwater), key=lambda fall: fall.depth)[:count]

    def rolling(self, name: str) -> pd.Series | None:
        """Return empyrical's rolling figure of this name, at each window's last day."""
        if self.window is None:
            return None
        with undefined_is_nan():
            found: pd.Series = getattr(empyrical, f"roll_{name}")(self.net, window=self.window)
        return found

    @cached_property
    def rolling_beta(self) -> pd.Series | None:
        """Return the slope of the returns after costs on the benchmark's, at each window's last day."""
        if self.window is None or self.benchmark is None:
            return None
        covariance = self.net.rolling(self.window).cov(self.benchmark)
        found: pd.Series = (covariance / self.benchmark.rolling(self.window).var()).dropna()
        return found.replace([np.inf, -np.inf], np.nan).dropna()


def grown(returns: pd.Series) -> pd.Series:
    """Return the total return since the start, from daily returns."""
    with undefined_is_nan():
        found: pd.Series = empyrical.cum_returns(returns)
    return found.replace([np.inf, -np.inf], np.nan)


def yearly(returns: pd.Series) -> pd.Series:
    """Return the compounded return of each year."""
    return _compounded(returns, "yearly")


def _compounded(returns: pd.Series, span: str) -> pd.Series:
    """Return the compounded return of each month or year, with NaN for one that no number holds."""
    with undefined_is_nan():
        found: pd.Series = empyrical.aggregate_returns(returns, span)
    return found.replace([np.inf, -np.inf], np.nan)


def drawdowns_of(returns: pd.Series) -> pd.Series:
    """Return the distance to the last peak, each day; the start is a peak too."""
    wealth = 1 + grown(returns)
    return wealth / wealth.cummax().clip(lower=1.0) - 1


def _falls(underwater: pd.Series) -> Iterator[Drawdown]:
    """Yield the falls, by cutting the series where it is at a peak."""
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
