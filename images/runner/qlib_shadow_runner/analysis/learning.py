"""How the model's error fell while it was trained, from the metrics that the recorder kept by round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRAIN: Final = ".train"
VALID: Final = ".valid"
FEWEST: Final = 2
"""Fewer rounds make no curve."""


@dataclass(frozen=True)
class LearningCurve:
    """A metric of the train and valid segments after each round."""

    metric: str
    train: Sequence[float]
    valid: Sequence[float]


def read_learning_curve(metrics: Path) -> LearningCurve | None:
    """Return the first metric that MLflow's folder has for both segments, or None; ValueError where damaged.

    Each file has a line for each round: milliseconds, value, step.
    """
    for valid in sorted(metrics.glob(f"*{VALID}")):
        name = valid.name.removesuffix(VALID)
        train = metrics / f"{name}{TRAIN}"
        if train.is_file():
            curve = LearningCurve(name, _values(train), _values(valid))
            return curve if min(len(curve.train), len(curve.valid)) >= FEWEST else None
    return None


def _values(path: Path) -> list[float]:
    """Return the values in the order of the rounds; where a round was trained again, its last one."""
    by_step: dict[int, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        _, value, step = line.split()
        by_step[int(step)] = float(value)
    return [by_step[step] for step in sorted(by_step)]
