"""Daily ICs of a model that goes on as promised, or whose skill halves: as hard for statistics as real ones.

Deviations are of 1. They have heavy tails and volatility that comes in clusters, a part of them goes on for
days, and labels that overlap tell the same returns again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.drift.decay import gains_of, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NIGHTS: Final = 1260
"""Five years."""
TAILS: Final = 4
LASTING: Final = (0.03, 0.7)
"""The share of the variance that goes on, and how much of it from one day to the next."""
CLUSTERS: Final = (0.35, 0.97)
"""The deviation of the volatility's logarithm, and how alike it is on two days."""
BEFORE_CHANGE: Final = 120
"""Live days before a change: a test that has run for a while finds it as on any other day."""


@dataclass(frozen=True)
class Streams:
    """Streams of standardized live ICs, a row each, and the strength that the evaluation has promised."""

    standard: Floats
    strength: Floats
    promised: Floats
    """The mean that was promised."""
    horizon: int

    def after_losing(self, lost: Floats | float, day: int) -> Streams:
        """Return the streams whose mean falls from a day on."""
        fallen = self.standard.copy()
        fallen[:, day:] -= np.broadcast_to(np.asarray(lost)[..., None], (len(fallen), 1))
        return Streams(fallen, self.strength, self.promised, self.horizon)


def streams(
    generator: np.random.Generator, strength: float, *, many: int, promised: int, live: int, horizon: int = 1
) -> Streams:
    """Return streams of a skill, each held against the mean and deviation of its own evaluated days."""
    icir = strength * np.sqrt(horizon)
    ic = icir + _noise(generator, many, promised + live, horizon)
    before = ic[:, :promised]
    mean, deviation = before.mean(axis=1), before.std(axis=1, ddof=1)
    standard = (ic[:, promised:] - mean[:, None]) / deviation[:, None] / np.sqrt(horizon)
    return Streams(standard, mean / deviation / np.sqrt(horizon), mean, horizon)


def _noise(generator: np.random.Generator, many: int, days: int, horizon: int) -> Floats:
    share, alike = LASTING
    fresh = generator.standard_t(TAILS, (many, days + horizon - 1)) / np.sqrt(TAILS / (TAILS - 2))
    slow = _autoregressive(generator, many, days + horizon - 1, alike)
    spread, lasting = CLUSTERS
    volatility = np.exp(spread * _autoregressive(generator, many, days + horizon - 1, lasting) - spread**2)
    both = (np.sqrt(1 - share) * fresh + np.sqrt(share) * slow) * volatility
    total = np.cumsum(np.concatenate([np.zeros((many, 1)), both], axis=1), axis=1)
    return np.asarray((total[:, horizon:] - total[:, :-horizon]) / np.sqrt(horizon))


def _autoregressive(generator: np.random.Generator, many: int, days: int, alike: float) -> Floats:
    """Return series of deviation 1."""
    found = generator.normal(size=(days, many))
    found[1:] *= np.sqrt(1 - alike**2)
    for day in range(1, days):
        found[day] += alike * found[day - 1]
    return found.T


def false_alarms(found: Streams, limits: Floats | float, weakest: float) -> Floats:
    """Return how often each stream rings; after each alarm the test begins again."""
    bounds = np.broadcast_to(np.asarray(limits, np.float64), found.strength.shape)
    tested = found.strength >= weakest
    gains = gains_of(found.standard, found.strength)
    now, rings = np.zeros(len(gains)), np.zeros(len(gains))
    for day in range(gains.shape[1]):
        now = np.maximum(0, now + gains[:, day])
        rung = now > bounds
        rings += rung
        now[rung] = 0
    return np.where(tested, rings, 0.0)


def delays(found: Streams, limits: Floats | float, weakest: float, day: int) -> Floats:
    """Return how many nights after a change each stream rings that has not before; inf where it never does.

    An outcome is known as many days after its signals as the label looks ahead.
    """
    usable = found.strength >= weakest
    found_sums = sums(found.standard[usable], found.strength[usable])
    over = found_sums > np.broadcast_to(np.asarray(limits), found.strength.shape)[usable][:, None]
    over = over[~over[:, :day].any(axis=1), day:]
    first = np.where(over.any(axis=1), over.argmax(axis=1) + 1.0, np.inf)
    return np.asarray(first + found.horizon + 1)
