"""The live model's scores of the days whose outcome is not known yet.

The live model is the evaluated one, refitted through the last day whose label is known, with the rounds that
the evaluation found best. The workflow's section `live_model` says which days it learns from and predicts.
"""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.training.checkpoints import ENV_LIVE_MODEL

if TYPE_CHECKING:
    import pandas as pd


def live_scores(model: Any, dataset: Any) -> pd.DataFrame | None:
    """Return the live model's scores by day and instrument, or None where the stage asks for none."""
    asked = os.environ.get(ENV_LIVE_MODEL)
    if not asked:
        return None
    section = json.loads(asked)
    train, days = section.get("train"), slice(*section["days"])
    live = copy.copy(model)
    live.refit(dataset, train and slice(*train))
    scores: pd.Series = live.predict(dataset, days)
    return scores.to_frame("score")
