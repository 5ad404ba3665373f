"""A book's trading days as numbers, and its record: what it earned against the benchmark and the promise.

A day counts where the trading day before it has a decision that was made in time. The orders of a late one
are never filled, and after a missed night there are none: such a day is no result of the signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, islice
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.ledger.bands import FEWEST, OF_PROMISE
from qlib_shadow_runner.texts import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Day:
    """A reconciled trading day."""

    day: str
    nav: float
    pnl: float
    day_return: float
    costs: float
    traded: float
    shortfall: float
    benchmark: float | None
    """The benchmark's return of the day."""
    counts: bool
    """Whether the trading day before it has a decision, made in time."""
    promised: float | None
    """The mean daily return of the backtest behind that decision."""
    deviation: float | None
    """The standard deviation of its daily returns."""
    promised_days: int | None
    """The days of that backtest."""

    @property
    def promises(self) -> bool:
        """Return whether the backtest promised anything; one without a trade has no deviation."""
        known = (self.promised, self.deviation, self.promised_days)
        return all(map(is_number, known)) and (self.deviation or 0) > 0 and (self.promised_days or 0) > 0

    @property
    def turnover(self) -> float:
        """Return the value of its fills as a share of the account before it."""
        before = self.nav - self.pnl
        return self.traded / before if before else 0.0


@dataclass(frozen=True)
class Point:
    """The record until a day, in sums of daily returns, as Qlib's reports add them up."""

    day: str
    account: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Record:
    """The figures of the days that count."""

    days: int
    total: float | None
    """The return over all of them, each upon the last."""
    mean: float | None
    deviation: float | None
    benchmark_days: int
    """The days among them with a known return of the benchmark."""
    benchmark: float | None
    """The benchmark's return over these."""
    account_on_benchmark_days: float | None
    """The account's return over the same."""
    promise: tuple[Point, ...]
    """The sum of its returns against what the backtests promised, day by day; without days of no promise."""

    @property
    def excess(self) -> float | None:
        """Return how much more than the benchmark the account earned on the same days."""
        if self.benchmark is None or self.account_on_benchmark_days is None:
            return None
        return self.account_on_benchmark_days - self.benchmark

    @property
    def is_beyond(self) -> bool | None:
        """Return whether the account lies beyond the promise's band; None while too few days have one."""
        if len(self.promise) < FEWEST:
            return None
        last = self.promise[-1]
        return not last.low <= last.account <= last.high

    @property
    def stands(self) -> str:
        """Return how the account stands to the band, as words before it."""
        if self.is_beyond is None:
            return "too early to hold against"
        return "beyond" if self.is_beyond else "within"


def days_of(entries: Iterable[Mapping[str, Any]]) -> tuple[Day, ...]:
    """Return the trading days of a chain's documents, in its order."""
    found = []
    decision: Mapping[str, Any] = {}
    is_next = False
    for document in entries:
        if document["kind"] == "decision":
            decision, is_next = document, True
            continue
        promise = decision.get("promise") or {}
        found.append(
            Day(
                day=document["day"],
                nav=document["account"]["nav"],
                pnl=document["pnl"],
                day_return=document["dayReturn"],
                costs=document["costs"],
                traded=document["traded"],
                shortfall=document["shortfall"],
                benchmark=document["benchmark"],
                counts=is_next and not decision["late"],
                promised=promise.get("mean"),
                deviation=promise.get("deviation"),
                promised_days=promise.get("days"),
            )
        )
        is_next = False
    return tuple(found)


def record_of(days: Sequence[Day]) -> Record:
    """Return the record."""
    counted = [day for day in days if day.counts]
    returns = [day.day_return for day in counted]
    judged = [(day.day_return, day.benchmark) for day in counted if day.benchmark is not None]
    return Record(
        days=len(counted),
        total=compounded(returns),
        mean=fmean(returns) if returns else None,
        deviation=stdev(returns) if len(returns) > 1 else None,
        benchmark_days=len(judged),
        benchmark=compounded([benchmark for _, benchmark in judged]),
        account_on_benchmark_days=compounded([ours for ours, _ in judged]),
        promise=_promise(counted),
    )


def drawdowns(capital: float, days: Sequence[Day]) -> list[float]:
    """Return the loss on each day since the highest value since the start, as a share of it.

    No resume changes it: what counts since a reset is the gate's own drawdown.
    """
    peaks = accumulate((day.nav for day in days), max, initial=capital)
    return [_loss(day.nav, peak) for day, peak in zip(days, islice(peaks, 1, None), strict=True)]


def drawdown_of(navs: Iterable[float]) -> tuple[float | None, float | None]:
    """Return the highest value and the loss since it, as a share of it."""
    peak = last = None
    for nav in navs:
        last = nav
        peak = nav if peak is None else max(peak, nav)
    if peak is None or last is None:
        return None, None
    return peak, _loss(last, peak)


def _loss(nav: float, peak: float) -> float:
    return 1 - nav / peak if peak > 0 else 0.0


def _promise(days: Iterable[Day]) -> tuple[Point, ...]:
    """Return the band: each day adds the mean and the variance that its own decision promised.

    The promised mean is itself an estimate. Its error is the same each day, so that it grows with the days.
    """
    known = [day for day in days if day.promises]
    sums = [accumulate(values) for values in zip(*map(_summands, known), strict=True)]
    points = []
    for day, account, expected, variance, error in zip((day.day for day in known), *sums, strict=True):
        half = OF_PROMISE * math.sqrt(variance + error**2)
        points.append(Point(day, account, expected, expected - half, expected + half))
    return tuple(points)


def _summands(day: Day) -> tuple[float, float, float, float]:
    deviation, days = day.deviation or 0.0, day.promised_days or 1
    return day.day_return, day.promised or 0.0, deviation**2, deviation / math.sqrt(days)


def compounded(returns: Sequence[float]) -> float | None:
    """Return the return over several days; None over none."""
    return math.prod(1 + one for one in returns) - 1 if returns else None
