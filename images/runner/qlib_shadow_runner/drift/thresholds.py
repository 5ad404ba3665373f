"""The limits of drift and decay, which a simulation has found: see docs/drift.md and `make calibrate`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

FILE: Final = Path(__file__).with_name("thresholds.json")
MEASURES: Final = ("features", "scores", "turnover")


Limits = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Thresholds:
    """The limits, and what must be known for them to hold."""

    drift: Mapping[str, Limits]
    """For each measure, from how many days of past on which limit holds; ascending."""
    decay: Mapping[int, Mapping[int, Limits]]
    """The limit of the test's sum by the label's horizon, how many days are evaluated, and the strength of
    their promise; ascending."""
    live_days: int

    @property
    def weakest(self) -> float:
        """Return the weakest promise for which the test is calibrated."""
        return min(limits[0][0] for by_days in self.decay.values() for limits in by_days.values())

    @property
    def fewest_evaluated(self) -> int:
        """Return how many evaluated days a promise needs."""
        return min(least for by_days in self.decay.values() for least in by_days)

    def drift_limit(self, measure: str, days: int) -> float | None:
        """Return the limit of a measure for so many days of past, or None where they are too few."""
        return next((limit for least, limit in reversed(self.drift[measure]) if days >= least), None)

    def decay_limit(self, horizon: int, days: int, strength: float) -> float:
        """Return the limit of the test's sum; the caller has asked what it is calibrated for."""
        by_days = self.decay[horizon]
        known, limits = zip(*by_days[max(least for least in by_days if least <= days)], strict=True)
        return float(np.interp(strength, known, limits))


@functools.cache
def calibrated() -> Thresholds:
    """Return the limits of this package."""
    return thresholds_of(json.loads(FILE.read_text(encoding="utf-8")))


def thresholds_of(found: Mapping[str, Any]) -> Thresholds:
    """Return the limits that a document holds."""
    return Thresholds(
        drift={name: _limits(found["drift"][name]) for name in MEASURES},
        decay={
            int(horizon): {int(days): _limits(limits) for days, limits in by_days.items()}
            for horizon, by_days in found["decay"].items()
        },
        live_days=int(found["live_days"]),
    )


def _limits(pairs: Sequence[Sequence[float]]) -> Limits:
    return [(float(at), float(limit)) for at, limit in pairs]
