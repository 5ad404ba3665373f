"""How the model's error fell while it was trained, from the metrics that the recorder kept by round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.storage.untrusted import MIB, FileKind, names_in, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRAIN: Final = ".train"
VALID: Final = ".valid"
FEWEST: Final = 2
"""Fewer rounds make no curve."""
NO_FIGURE: Final = 1e50
"""An error that is as large, or infinite, is not drawn."""
METRIC: Final = FileKind("metric by round", 8 * MIB)
"""A line for each of at most 100,000 rounds, for each of a few attempts."""


@dataclass(frozen=True)
class LearningCurve:
    """A metric of the train and valid segments after each round."""

    metric: str
    train: Sequence[float]
    valid: Sequence[float]


def read_learning_curve(folder: Path, metrics: str) -> LearningCurve | None:
    """Return the first metric that MLflow has of both segments, or None; raise where it is damaged.

    The metrics are a folder inside of a run folder, which another person may have left. Each file has a line
    for each round: milliseconds, value, step.
    """
    try:
        names = names_in(folder, metrics)
        for valid in (name for name in names if name.endswith(VALID)):
            metric = valid.removesuffix(VALID)
            train = f"{metric}{TRAIN}"
            if train in names:
                texts = (read_text(folder, f"{metrics}/{name}", METRIC) for name in (train, valid))
                curve = LearningCurve(metric, *map(_values, texts))
                return curve if min(len(curve.train), len(curve.valid)) >= FEWEST else None
    except FileNotFoundError:
        return None
    return None


def _values(text: str) -> list[float]:
    """Return the values in the order of the rounds; where a round was trained again, its last one."""
    by_step: dict[int, float] = {}
    for line in text.splitlines():
        _, value, step = line.split()
        number = float(value)
        by_step[int(step)] = number if abs(number) < NO_FIGURE else math.nan
    return [by_step[step] for step in sorted(by_step)]
