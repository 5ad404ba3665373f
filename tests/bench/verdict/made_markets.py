"""Markets without anything to find, and a model's scores for them, as hard for statistics as real ones.

Returns have a market factor, styles, volatility that comes in clusters, and fat tails. Scores change slowly
from day to day and lean towards styles, as those of a trained model do. The portfolio holds the best of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAMES: Final = 100
STYLES: Final = 5
HELD: Final = 20
REPLACED: Final = 3
"""At most so many a day."""
TAILS: Final = 4
"""Degrees of freedom of the returns."""
MODELS: Final = ((0.9, 0.0), (0.97, 0.3), (0.995, 0.6))
"""How alike the scores of two days are, and how much of them is a lasting style."""


@dataclass(frozen=True)
class Model:
    """The scores of one model for one market, and what its portfolio earned."""

    returns: Floats
    """A row for each day, a column for each name."""
    scores: Floats
    horizon: int

    @cached_property
    def labels(self) -> Floats:
        """Return the returns that the scores should have known, from the next day's close."""
        wealth = np.vstack([np.ones(self.returns.shape[1]), np.cumprod(1 + self.returns, axis=0)])
        found = np.full_like(self.returns, np.nan)
        last = len(self.returns) - 1 - self.horizon
        found[:last] = wealth[2 + self.horizon : 2 + self.horizon + last] / wealth[2 : 2 + last] - 1
        return found

    @cached_property
    def ic(self) -> Floats:
        """Return each day's correlation of scores and labels; NaN on the last days."""
        scores = self.scores - self.scores.mean(axis=1, keepdims=True)
        labels = self.labels - self.labels.mean(axis=1, keepdims=True)
        found: Floats = (scores * labels).sum(1) / np.sqrt((scores**2).sum(1) * (labels**2).sum(1))
        return found

    @cached_property
    def portfolio(self) -> Floats:
        """Return the daily returns of the best names, a few of which are replaced each day."""
        found = np.zeros(len(self.returns))
        held = np.argsort(-self.scores[0])[:HELD]
        for day in range(1, len(self.returns)):
            # A score is known after the close; what it says is bought at the next one and earns from then on.
            found[day] = self.returns[day, held].mean() if day > 1 else 0.0
            score = self.scores[day - 1]
            others = np.setdiff1d(np.arange(self.returns.shape[1]), held)
            best = others[np.argsort(-score[others])[:REPLACED]]
            ranked = np.concatenate([held, best])[np.argsort(-score[np.concatenate([held, best])])]
            held = ranked[:HELD]
        return found


def noise(random: np.random.Generator, days: int, horizon: int, model: tuple[float, float]) -> Model:
    """Return a model that knows nothing."""
    loads = random.normal(size=(STYLES, NAMES))
    beta = random.normal(1.0, 0.3, NAMES)
    persistence, lean = model
    style = random.normal(size=STYLES) @ loads / np.sqrt(STYLES)
    changing = _slow(random.normal(size=(days, NAMES)), persistence)
    scores = np.sqrt(1 - lean) * changing + np.sqrt(lean) * style
    return Model(_returns(random, days, loads, beta), scores, horizon)


def knowing(random: np.random.Generator, days: int, ic: float) -> Model:
    """Return a model whose scores of a one-day label have this mean IC."""
    plain = noise(random, days, 1, MODELS[0])
    labels = np.nan_to_num(plain.labels)
    centred = labels - labels.mean(axis=1, keepdims=True)
    scale = np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
    return Model(plain.returns, plain.scores + ic * centred / scale, 1)


def _returns(random: np.random.Generator, days: int, loads: Floats, beta: Floats) -> Floats:
    volatility = _volatility(random, days)
    market = 0.009 * volatility * _fat(random, days)
    styles = np.stack(
        [0.003 * np.sqrt(volatility * _volatility(random, days)) * _fat(random, days) for _ in range(STYLES)]
    )
    own = 0.018 * np.sqrt(volatility)[:, None] * _fat(random, (days, NAMES))
    return np.maximum(market[:, None] * beta + styles.T @ loads + own, -0.9)


def _volatility(random: np.random.Generator, days: int, persistence: float = 0.98) -> Floats:
    """Return a volatility around 1 that changes slowly."""
    logarithm = 0.75 * _slow(random.normal(size=(days, 1)), persistence)[:, 0]
    found: Floats = np.exp(logarithm - logarithm.var() / 2)
    return found


def _slow(shocks: Floats, persistence: float) -> Floats:
    """Return values of which each row is as much like the one before, with variance 1."""
    found = np.empty_like(shocks)
    found[0] = shocks[0]
    size = np.sqrt(1 - persistence**2)
    for day in range(1, len(shocks)):
        found[day] = persistence * found[day - 1] + size * shocks[day]
    return found


def _fat(random: np.random.Generator, shape: int | tuple[int, int]) -> Floats:
    found: Floats = random.standard_t(TAILS, shape) / np.sqrt(TAILS / (TAILS - 2))
    return found
