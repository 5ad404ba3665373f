"""The market model: one factor, fat tails, changing volume, and a weak reversal that a model can learn.

Every draw and every result of a transcendental function is rounded at once. All other operations are
addition, multiplication and rounding, which IEEE 754 fixes to the last bit, so the bytes are the same
with any numpy, libm or processor. numpy guarantees that RandomState's streams never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LAG = 2  # the label is the return from tomorrow to the day after; its signal must be known before that
LOOK_BACK = 5
REVERSAL = 0.07  # in units of a day's own volatility, per standard deviation of the past week
CHASE = 0.03  # the same, for a burst of volume
LARGEST_MOVE = 0.25


@dataclass(frozen=True)
class Bars:
    """Daily bars in arrays of days by symbols; prices are adjusted so that the first is near 1."""

    opening: Floats
    high: Floats
    low: Floats
    close: Floats
    vwap: Floats
    volume: Floats
    factor: Floats
    index: Floats
    """The benchmark's close, by day."""


def fixed(values: ArrayLike, decimals: int = 6) -> Floats:
    """Return rounded values, without the digits that differ between machines."""
    return np.asarray(values, dtype=np.float64).round(decimals)


def draw_market(rng: np.random.RandomState, symbols: int, days: int) -> Bars:
    """Return the bars of a random market."""
    market = _market_returns(rng, days)
    spread = fixed(0.010 + 0.012 * rng.random_sample(symbols))
    activity = _activity(rng, symbols, days)
    returns = _returns(rng, market, spread, activity)
    close = fixed(np.cumprod(1.0 + returns, axis=0))
    factor = _factors(rng, symbols, days)
    opening, high, low = _ranges(rng, close, spread)
    return Bars(
        opening=opening,
        high=high,
        low=low,
        close=close,
        vwap=fixed((opening + high + low + close) / 4),
        volume=np.rint(np.rint(activity * 1_000_000) / factor),
        factor=factor,
        index=fixed(np.cumprod(1.0 + market) * 2500, 4),
    )


def _market_returns(rng: np.random.RandomState, days: int) -> Floats:
    shocks = fixed(rng.standard_normal((days, 2)))
    returns, level = np.zeros(days), 0.0
    for day in range(days):
        level = 0.96 * level + 0.12 * shocks[day, 0]
        returns[day] = 0.0003 + 0.008 * (1 + np.clip(level, -0.7, 1.5)) * shocks[day, 1]
    return fixed(np.clip(returns, -0.1, 0.1))


def _activity(rng: np.random.RandomState, symbols: int, days: int) -> Floats:
    """Return the trading activity, which is autocorrelated over some days."""
    shocks = fixed(rng.standard_normal((days, symbols)))
    level = np.zeros((days, symbols))
    for day in range(1, days):
        level[day] = fixed(0.85 * level[day - 1] + 0.3 * shocks[day])
    base = fixed(1 + 9 * rng.random_sample(symbols))
    return fixed(base * np.exp(level))


def _returns(rng: np.random.RandomState, market: Floats, spread: Floats, activity: Floats) -> Floats:
    days, symbols = activity.shape
    beta = fixed(0.6 + 0.8 * rng.random_sample(symbols))
    noise = fixed(np.clip(rng.standard_t(5, size=(days, symbols)) * 0.7746, -8, 8))  # variance one
    burst = _volume_bursts(activity)
    own = np.zeros((days, symbols))
    for day in range(days):
        own[day] = fixed(spread * (noise[day] + _pull(own, spread, burst, day)))
    return fixed(np.clip(beta * market[:, None] + own, -LARGEST_MOVE, LARGEST_MOVE))


def _volume_bursts(activity: Floats) -> Floats:
    """Return each day's volume relative to the month before it, between -1 and 1."""
    burst = np.zeros_like(activity)
    for day in range(20, len(activity)):
        month = activity[day - 20 : day].sum(axis=0) / 20
        burst[day] = fixed(np.clip(activity[day] / month - 1, -1, 1))
    return burst


def _pull(own: Floats, spread: Floats, burst: Floats, day: int) -> Floats:
    """Return the predictable part of today's returns, in standard deviations."""
    known = day - LAG + 1
    if known < LOOK_BACK:
        return np.zeros_like(spread)
    week = own[known - LOOK_BACK : known].sum(axis=0) / (spread * 2.236)
    pull: Floats = -REVERSAL * np.clip(week, -2, 2) + CHASE * burst[known - 1]
    return pull


def _ranges(rng: np.random.RandomState, close: Floats, spread: Floats) -> tuple[Floats, Floats, Floats]:
    draws = fixed(rng.standard_normal((3, *close.shape)))
    before = np.vstack([close[:1], close[:-1]])
    opening = fixed(before * (1 + np.clip(0.3 * spread * draws[0], -0.05, 0.05)))
    reach = np.clip(np.abs(draws[1:]) * 0.5 * spread, 0, 0.1)
    high = fixed(np.maximum(opening, close) * (1 + reach[0]))
    low = fixed(np.minimum(opening, close) * (1 - reach[1]))
    return opening, high, low


def _factors(rng: np.random.RandomState, symbols: int, days: int) -> Floats:
    """Return the adjustment factors; before a split the raw price is higher, so the factor is lower."""
    raw = np.rint(20 + 180 * rng.random_sample(symbols))
    factor = np.tile(fixed(1 / raw), (days, 1))
    for symbol in np.flatnonzero(rng.random_sample(symbols) < 0.3):  # noqa: PLR2004 - three in ten split once
        day = rng.randint(days // 10, days)
        factor[:day, symbol] = fixed(factor[:day, symbol] / rng.choice([2.0, 4.0]), 8)
    return factor
