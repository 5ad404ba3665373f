"""A sequential test whether the live IC is still what the evaluation promised, or has halved.

The test adds up, day by day, by how much likelier the live IC is under half of the promised mean than under
all of it, and begins again from 0 whenever the sum is below 0 (CUSUM). How high the sum may rise is found by
a simulation, since daily ICs have heavy tails, follow one another, and are held against a promise that is
itself an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.drift.distance import Numbers
    from qlib_shadow_runner.drift.thresholds import Thresholds

CLIP: Final = 1.0
"""Deviations, beyond which a day counts no more: with heavy tails the middle tells more of the mean."""
LOST: Final = 0.5
"""The share of the promised IC whose loss the test looks for."""


class DecayState(StrEnum):
    """Whether a model's signals still are what was promised."""

    HOLDS = "holds"
    DECAYED = "decayed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Promise:
    """The daily IC of the evaluated days."""

    ic: float
    icir: float
    """Mean by deviation."""
    days: int
    horizon: int
    """Days over which a label reaches: so many ICs in a row share returns."""

    @property
    def strength(self) -> float:
        """Return the ICIR of what is new each day: overlapping labels tell the same returns again."""
        return self.icir / math.sqrt(self.horizon)


@dataclass(frozen=True)
class Decay:
    """What the live IC says."""

    state: DecayState
    days: int
    """Days with a live IC."""
    needed_days: int
    live_ic: float | None = None
    statistic: float | None = None
    """The greatest sum so far."""
    limit: float | None = None
    why: str | None = None
    """Why nothing is known."""


def judge(live: Sequence[float], promise: Promise | None, thresholds: Thresholds) -> Decay:
    """Return the state of a model whose live ICs these are, the oldest first.

    A model that has decayed once stays so: what follows by luck is no reason to trust it.
    """
    needed, many = thresholds.live_days, len(live)
    mean = float(np.mean(live)) if many else None
    if why := _unknown(many, promise, thresholds):
        return Decay(DecayState.UNKNOWN, many, needed, mean, why=why)
    assert promise is not None, "without one nothing is known"
    limit = thresholds.decay_limit(promise.horizon, promise.days, promise.strength)
    standard = (np.asarray(live) - promise.ic) * (promise.icir / promise.ic)
    highest = float(sums(standard[None, :] / math.sqrt(promise.horizon), promise.strength).max())
    state = DecayState.DECAYED if highest > limit else DecayState.HOLDS
    return Decay(state, many, needed, mean, highest, limit)


def _unknown(many: int, promise: Promise | None, thresholds: Thresholds) -> str | None:
    """Return why nothing is known, or None."""
    if promise is None:
        return "no promise is recorded"
    if promise.horizon not in thresholds.decay:
        return f"no live IC is judged over the {promise.horizon} days of the label"
    if promise.days < thresholds.fewest_evaluated:
        return f"{promise.days} evaluated days promise nothing; {thresholds.fewest_evaluated} are needed"
    if promise.ic <= 0 or promise.strength < thresholds.weakest:
        return f"an ICIR of {promise.strength:.2f} is too weak; {thresholds.weakest:.2f} is needed"
    if many < thresholds.live_days:
        return f"{many} of {thresholds.live_days} days are judged"
    return None


def gains_of(standard: Numbers, strength: Numbers | float) -> Numbers:
    """Return what each day adds to the sum, a stream of standardized ICs a row."""
    lost = np.asarray(strength, np.float64)[..., None] * LOST
    return np.asarray(-lost * (np.clip(standard, -CLIP, CLIP) + lost / 2), np.float64)


def sums(standard: Numbers, strength: Numbers | float) -> Numbers:
    """Return the sum of the test after each day, a stream of standardized ICs a row."""
    gains = gains_of(standard, strength)
    found, now = np.empty_like(gains), np.zeros(len(gains))
    for day in range(gains.shape[1]):
        now = np.maximum(0, now + gains[:, day])
        found[:, day] = now
    return found
