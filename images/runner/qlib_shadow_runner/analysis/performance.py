"""The backtest in figures: the portfolio, its benchmark, each year, and the costs of trading."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, cast

import pandas as pd

from qlib_shadow_runner.analysis.backtest import YEAR, Backtest, Drawdown
from qlib_shadow_runner.analysis.chance import Chance
from qlib_shadow_runner.analysis.statistics import empyrical, finite, undefined_is_nan

TAIL: Final = 0.05
"""The share of the days that VaR leaves out."""


@dataclass(frozen=True)
class Risk:
    """The tail of the daily returns: what a bad day costs at least, and on average.

    `normal` figures are of a normal distribution with the days' mean and deviation, as QuantStats has them;
    the others count the days themselves, as empyrical does. Skewness and kurtosis are unbiased estimates; the
    kurtosis of a normal distribution is zero.
    """

    normal_var: float | None
    normal_cvar: float | None
    var: float | None
    cvar: float | None
    skewness: float | None
    kurtosis: float | None

    @classmethod
    def of(cls, returns: pd.Series) -> Risk:
        """Return the figures of a series of daily returns."""
        mean, deviation, normal = float(returns.mean()), float(returns.std()), NormalDist()
        quantile = normal.inv_cdf(TAIL)
        with undefined_is_nan():
            return cls(
                normal_var=finite(mean + deviation * quantile),
                normal_cvar=finite(mean - deviation * normal.pdf(quantile) / TAIL),
                var=finite(empyrical.value_at_risk(returns, TAIL)),
                cvar=finite(empyrical.conditional_value_at_risk(returns, TAIL)),
                skewness=finite(cast("float", returns.skew())),
                kurtosis=finite(cast("float", returns.kurt())),
            )


@dataclass(frozen=True)
class Performance:
    """Figures of a series of daily returns, as empyrical defines them: 252 days a year, no risk-free rate."""

    total: float | None
    annual: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    best_day: float | None
    worst_day: float | None
    days_up: float | None
    risk: Risk

    @classmethod
    def of(cls, returns: pd.Series | None) -> Performance | None:
        """Return the figures of a series of daily returns, or None if there are none."""
        if returns is None:
            return None
        with undefined_is_nan():
            return cls(
                total=finite(empyrical.cum_returns_final(returns)),
                annual=finite(empyrical.annual_return(returns)),
                volatility=finite(empyrical.annual_volatility(returns)),
                sharpe=finite(empyrical.sharpe_ratio(returns)),
                sortino=finite(empyrical.sortino_ratio(returns)),
                calmar=finite(empyrical.calmar_ratio(returns)),
                max_drawdown=finite(empyrical.max_drawdown(returns)),
                best_day=finite(returns.max()),
                worst_day=finite(returns.min()),
                days_up=finite((returns > 0).mean()),
                risk=Risk.of(returns),
            )


@dataclass(frozen=True)
class Year:
    """One calendar year, or the part of it that was simulated."""

    year: int
    days: int
    strategy: float | None
    benchmark: float | None
    difference: float | None
    """The difference of the two compounded returns."""
    max_drawdown: float | None
    sharpe: float | None


@dataclass(frozen=True)
class Trading:
    """Turnover, costs and holdings; means over all days."""

    turnover: float | None
    """Traded value a year as a multiple of the account; purchases and sales both count."""
    cost: float | None
    """Costs a year as a share of the account."""
    invested: float | None
    holdings: float | None
    largest: float | None
    paid: float | None
    """Costs as a share of what was traded."""
    break_even: float | None
    """The same share at which no excess return would be left, or no return where there is no benchmark."""


@dataclass(frozen=True)
class SummedExcess:
    """The daily excess returns added up, in a year of 252 days, where Qlib's own figures count 238."""

    annual: float | None
    ratio: float | None

    @classmethod
    def of(cls, excess: pd.Series | None) -> SummedExcess | None:
        """Return the figures of the daily differences to the benchmark, or None without a benchmark."""
        if excess is None:
            return None
        mean, deviation = float(excess.mean()), float(excess.std())
        return cls(finite(mean * YEAR), finite(mean / deviation * math.sqrt(YEAR)) if deviation else None)


@dataclass(frozen=True)
class Summary:
    """All figures of a backtest."""

    first: str
    last: str
    days: int
    net: Performance | None
    gross: Performance | None
    benchmark: Performance | None
    alpha: float | None
    beta: float | None
    drawdowns: list[Drawdown]
    years: list[Year]
    trading: Trading
    excess: Chance | None
    """The daily excess return after costs; the returns of two days do not overlap."""
    gross_excess: Chance | None
    """The same before costs."""
    summed: SummedExcess | None
    gross_summed: SummedExcess | None


def summarize(backtest: Backtest, holdings: pd.DataFrame | None) -> Summary:
    """Return the figures of a backtest."""
    alpha, beta = _against(backtest)
    index = backtest.table.index
    return Summary(
        first=f"{index[0]:%Y-%m-%d}",
        last=f"{index[-1]:%Y-%m-%d}",
        days=backtest.days,
        net=Performance.of(backtest.net),
        gross=Performance.of(backtest.gross),
        benchmark=Performance.of(backtest.benchmark),
        alpha=alpha,
        beta=beta,
        drawdowns=backtest.worst(),
        years=_years(backtest),
        trading=_trading(backtest, holdings),
        excess=Chance.of(backtest.excess, horizon=1),
        gross_excess=Chance.of(backtest.gross_excess, horizon=1),
        summed=SummedExcess.of(backtest.excess),
        gross_summed=SummedExcess.of(backtest.gross_excess),
    )


def _against(backtest: Backtest) -> tuple[float | None, float | None]:
    if backtest.benchmark is None or backtest.days < 2:  # noqa: PLR2004 - no line through one point
        return None, None
    with undefined_is_nan():
        alpha, beta = empyrical.alpha_beta(backtest.net, backtest.benchmark)
    return finite(alpha), finite(beta)


def _years(backtest: Backtest) -> list[Year]:
    found = []
    years = pd.DatetimeIndex(backtest.net.index).year
    for year in years.unique().tolist():
        net = backtest.net[years == year]
        with undefined_is_nan():
            strategy = finite(empyrical.cum_returns_final(net))
            sharpe, worst = finite(empyrical.sharpe_ratio(net)), finite(empyrical.max_drawdown(net))
            benchmark = None
            if backtest.benchmark is not None:
                benchmark = finite(empyrical.cum_returns_final(backtest.benchmark[net.index]))
        both = strategy is not None and benchmark is not None
        found.append(
            Year(
                year=year,
                days=len(net),
                strategy=strategy,
                benchmark=benchmark,
                difference=strategy - benchmark if both else None,  # type: ignore[operator]
                max_drawdown=worst,
                sharpe=sharpe,
            )
        )
    return found


def _trading(backtest: Backtest, holdings: pd.DataFrame | None) -> Trading:
    def mean(series: pd.Series | None, scale: float = 1.0) -> float | None:
        return None if series is None else finite(series.mean() * scale)

    traded = None if backtest.turnover is None else backtest.turnover.sum()
    profit = backtest.gross if backtest.gross_excess is None else backtest.gross_excess
    return Trading(
        turnover=mean(backtest.turnover, YEAR),
        cost=mean(backtest.cost, YEAR),
        invested=mean(backtest.invested),
        holdings=mean(None if holdings is None else holdings["count"]),
        largest=mean(None if holdings is None else holdings["largest"]),
        paid=finite(backtest.cost.sum() / traded) if traded else None,
        break_even=finite(profit.sum() / traded) if traded else None,
    )
