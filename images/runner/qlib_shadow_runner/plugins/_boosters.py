"""The texts in which our models are kept, and the rounds that a model uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.training.checkpoints import TrainingStep

if TYPE_CHECKING:
    import lightgbm


def text_name(step: TrainingStep, number: int | None = None) -> str:
    """Return the file of a model, or of a sub-model, in its checkpoint.

    It is LightGBM's own text. lightgbm.train itself ends by reading this text back, so nothing is lost in it.
    """
    own = "model.txt" if number is None else f"model_{number}.txt"
    return f"live_{own}" if step is TrainingStep.LIVE else own


def rounds_of(model: lightgbm.Booster) -> int:
    """Return how many rounds a model uses: the best number where learning stopped early, else all."""
    return model.best_iteration if model.best_iteration > 0 else model.current_iteration()
