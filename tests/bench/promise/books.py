"""Made-up books whose days are what their backtests promise, and what is asked of them each night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NIGHTS: Final = 1260
"""Five years."""
FREEDOM: Final = 5.0
"""Degrees of freedom of a day's return: heavy tails."""
SWING: Final = 0.35
"""The deviation of the logarithm of volatility, which moves slowly between calm and stress."""
STAYS: Final = 0.98
"""How much of it stays from one day to the next."""
DAILY: Final = 0.01


class Promised(NamedTuple):
    """A book a row: its daily returns, and the promise of the night before each."""

    returns: Floats
    mean: Floats
    deviation: Floats
    days: int


def returns(generator: Generator, many: int, days: int) -> Floats:
    """Return daily returns of mean 0, a book a row."""
    shocks = generator.standard_normal((many, days)) * SWING * np.sqrt(1 - STAYS**2)
    now = generator.standard_normal(many) * SWING
    found = generator.standard_t(FREEDOM, (many, days)) * DAILY * np.sqrt((FREEDOM - 2) / FREEDOM)
    for day in range(days):
        found[:, day] *= np.exp(now - SWING**2)
        now = now * STAYS + shocks[:, day]
    return np.asarray(found, np.float64)


def books(
    generator: Generator, many: int, backtest: int, *, moves: bool, lost: float = 0.0, nights: int = NIGHTS
) -> Promised:
    """Return books that begin when their first backtest ends.

    A backtest that moves covers the newest days of each night; one that does not is made once. From the first
    night on, the books lose so many deviations a day against what the days before have promised.
    """
    every = returns(generator, many, backtest + nights)
    every[:, backtest:] -= lost * DAILY
    sums, squares = (np.pad(np.cumsum(one, axis=1), ((0, 0), (1, 0))) for one in (every, every**2))
    mean = (sums[:, backtest:-1] - sums[:, : -backtest - 1]) / backtest
    square = (squares[:, backtest:-1] - squares[:, : -backtest - 1]) / backtest
    deviation = np.sqrt((square - mean**2) * backtest / (backtest - 1))
    if not moves:
        mean, deviation = (np.repeat(one[:, :1], nights, axis=1) for one in (mean, deviation))
    return Promised(every[:, backtest:], mean, deviation, backtest)


def distances(found: Promised) -> Floats:
    """Return how far each record lies from its promise after each night, as `ledger/record.py` counts it."""
    away = np.cumsum(found.returns - found.mean, axis=1)
    of_days = np.cumsum(found.deviation**2, axis=1)
    of_estimate = np.cumsum(found.deviation / np.sqrt(found.days), axis=1) ** 2
    return np.asarray(np.abs(away) / np.sqrt(of_days + of_estimate))


def differences(generator: Generator, many: int, busy: float, nights: int = NIGHTS) -> Floats:
    """Return how far two accounts of the same signals are apart after each night, in their own deviations.

    On a share of the days they differ, by chance.
    """
    daily = returns(generator, many, nights) * (generator.random((many, nights)) < busy)
    days = np.arange(1, nights + 1)
    sums, squares = np.cumsum(daily, axis=1), np.cumsum(daily**2, axis=1)
    variance = (squares - sums**2 / days) / np.maximum(days - 1, 1)
    return np.asarray(np.abs(sums) / np.sqrt(np.maximum(variance * days, 1e-30)))
