"""The return to expect of a rank: learnt day by day from the days whose outcome is known by then.

A score orders instruments and says nothing of returns. Here each percentile of a day gets the mean outcome of
the same percentile on earlier days, less the mean of the universe. This table is made monotone, so that a
better rank never expects less, and shrunk by what chance alone would make of it. No day looks ahead: its
table ends with the last day whose outcome its own prices show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.chance import Chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DAYS: Final = 250
"""The outcomes of so many days are averaged."""
FEWEST: Final = 60
"""Fewer known days give no expected return."""
BINS: Final = 20
GROUPS: Final = 5


@dataclass(frozen=True)
class Scored:
    """Signals in the order of their days, with their outcomes."""

    day: NDArray[np.int64]
    """The number of each row's day, from 0 on."""
    percentile: Floats
    """1 is the best of a day."""
    label: Floats
    """NaN where the outcome is not known."""

    @property
    def days(self) -> int:
        """Return how many days there are."""
        return int(self.day[-1]) + 1 if len(self.day) else 0

    @property
    def excess(self) -> Floats:
        """Return the outcomes less their day's mean."""
        known = np.isfinite(self.label)
        count = np.bincount(self.day[known], minlength=self.days)
        total = np.bincount(self.day[known], self.label[known], self.days)
        with np.errstate(invalid="ignore"):
            return self.label - (total / count)[self.day]


def scored_of(scores: pd.Series, labels: pd.Series) -> Scored:
    """Return the signals by day, best first; equal scores are ordered by name."""
    days, names = (pd.factorize(scores.index.get_level_values(level), sort=True)[0] for level in (0, 1))
    order = np.lexsort((names, -scores.to_numpy(), days))
    day = days[order]
    size = np.bincount(day)
    place = np.arange(len(day)) - (np.cumsum(size) - size)[day]
    percentile = (size[day] - place) / size[day]
    return Scored(day, percentile, labels.reindex(scores.index).to_numpy("f8")[order])


def expected_returns(scored: Scored, ahead: int, horizon: int) -> Floats:
    """Return what each row expects over the label's horizon, NaN where too few outcomes are known.

    `ahead` is how many days after its own a label is known; outcomes of `horizon` days in a row are nearly
    one.
    """
    found = np.full(len(scored.day), np.nan)
    if not scored.days:
        return found
    there, places, outcomes, squares = (_before(daily, ahead) for daily in _by_day(scored))
    starts = np.searchsorted(scored.day, np.arange(scored.days + 1))
    for number in np.flatnonzero(there.max(axis=1) >= FEWEST):
        filled = there[number] > 0
        days = there[number][filled]
        mean = outcomes[number][filled] / days
        noise = horizon * np.maximum(squares[number][filled] / days - mean**2, 0) / days
        table = _shrunk(monotone(mean, days), noise)
        rows = slice(starts[number], starts[number + 1])
        found[rows] = np.interp(scored.percentile[rows], places[number][filled] / days, table)
    return found


def _shrunk(table: Floats, noise: Floats) -> Floats:
    """Return a monotone table nearer to zero by the share of its squares that chance alone would make.

    Of pure noise in k bins, a monotone table keeps 1/2 + 1/3 + ... + 1/k of k variances.
    """
    squares = float(table @ table)
    by_chance = float(noise.mean() * (1 / np.arange(2, len(table) + 1)).sum())
    return table * max(0.0, 1 - by_chance / squares) if squares else table


def _by_day(scored: Scored) -> tuple[Floats, Floats, Floats, Floats]:
    """Return for each day and bin whether it has outcomes, and the means of percentile, outcome, square."""
    excess = scored.excess
    known = np.isfinite(excess)
    percentile = scored.percentile[known]
    bins = np.ceil(percentile * BINS).astype(np.int64).clip(1, BINS) - 1
    cell, shape = scored.day[known] * BINS + bins, (scored.days, BINS)

    def total(weights: Floats | None) -> Floats:
        return np.bincount(cell, weights, shape[0] * BINS).astype(np.float64).reshape(shape)

    count = total(None)
    size = np.maximum(count, 1)
    outcome = total(excess[known]) / size
    return (count > 0).astype(np.float64), total(percentile) / size, outcome, outcome**2


def _before(daily: Floats, ahead: int) -> Floats:
    """Return for each day the sum over the last days whose outcome it knows."""
    sums = np.vstack([np.zeros((1, daily.shape[1])), np.cumsum(daily, axis=0)])
    end = np.maximum(np.arange(len(daily)) - ahead + 1, 0)
    found: Floats = sums[end] - sums[np.maximum(end - DAYS, 0)]
    return found


def monotone(values: Floats, weights: Floats) -> Floats:
    """Return the nearest values that never fall: neighbours that fall are replaced by their mean."""
    means: list[float] = []
    sizes: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, size, length = value, weight, 1
        while means and means[-1] > mean:
            before = sizes.pop()
            mean = (means.pop() * before + mean * size) / (before + size)
            size += before
            length += lengths.pop()
        means.append(mean)
        sizes.append(size)
        lengths.append(length)
    return np.repeat(means, lengths)


def _by_days(there: NDArray[np.int64], day: NDArray[np.int64], values: Floats) -> Floats:
    """Return the sum of each of these days."""
    return np.bincount(day, values)[there].astype(np.float64)


@dataclass(frozen=True)
class Standing:
    """Whether the outcomes were as expected, on the days of the test that had an expected return."""

    days: int
    expected: list[float]
    """The mean of each fifth of a day, the best first."""
    realized: list[float]
    slope: float | None
    """The outcome for each unit that was expected; 1 is right. None where no rank expected anything."""
    at_all: Chance | None
    """Of the outcomes in proportion to what was expected: whether there is anything in it."""
    too_low: Chance | None
    """Of the outcomes less what was expected, in the same proportion: negative where it was too much."""

    @classmethod
    def of(cls, scored: Scored, expected: Floats, horizon: int) -> Standing | None:
        """Return the standing of the expected returns; None where no outcome of them is known."""
        excess = scored.excess
        both = np.isfinite(expected) & np.isfinite(excess)
        if not both.any():
            return None
        day, hoped, came = scored.day[both], expected[both], excess[both]
        square = float(hoped @ hoped)
        there = np.flatnonzero(np.bincount(day))
        product, squares = _by_days(there, day, hoped * came), _by_days(there, day, hoped * hoped)
        group = GROUPS - 1 - np.minimum((scored.percentile[both] * GROUPS).astype(np.int64), GROUPS - 1)
        size = np.maximum(np.bincount(group, minlength=GROUPS), 1)
        return cls(
            days=len(there),
            expected=(np.bincount(group, hoped, GROUPS) / size).tolist(),
            realized=(np.bincount(group, came, GROUPS) / size).tolist(),
            slope=float(hoped @ came) / square if square else None,
            at_all=Chance.of(product, horizon),
            too_low=Chance.of(product - squares, horizon),
        )

    @property
    def verdict(self) -> str:
        """Return what the outcomes say of the expected returns, for people."""
        if self.slope is None:
            return "the past gives no reason to expect more of one rank than of another"
        signs = [chance.sign if chance else None for chance in (self.at_all, self.too_low)]
        if signs[0] is None:
            return "too few days to judge it"
        if signs[0] <= 0:
            return "the outcomes do not follow it beyond chance: do not weigh by it"
        if signs[1]:
            return f"the order is right, and it promises too {'little' if signs[1] > 0 else 'much'}"
        return "the outcomes are as expected, within chance"
