"""The live model's scores of the days whose outcome is not known yet.

The live model is the evaluated one, refitted through the last day whose label is known, with the rounds that
the evaluation found best. The workflow's section `live_model` says which days it learns from and predicts.
"""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.training.checkpoints import ENV_LIVE_MODEL, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from qlib.data.dataset import DatasetH

    from qlib_shadow_runner.training.checkpoints import Checkpoint, CheckpointDraft


class Refitting:
    """A model that can become the live one: it says how it learns, is kept and is restored."""

    _restore: Callable[[Checkpoint, TrainingStep], None]
    _learn_from: Callable[[DatasetH, slice], None]
    """Learn from these days for the rounds that the evaluation found best; nothing stops it early."""
    _keep: Callable[[CheckpointDraft], None]

    def refit(self, dataset: DatasetH, days: slice | None) -> None:
        """Become the live model: trained on these days now, or in an earlier attempt or run."""
        checkpoints = Checkpoints.from_environ()
        assert checkpoints is not None, "a stage asks for it"
        if found := checkpoints.find(TrainingStep.LIVE):
            self._restore(found, TrainingStep.LIVE)
            return
        draft = checkpoints.begin(TrainingStep.LIVE)
        assert days is not None, "a model that is not kept learns from days of this run"
        print_line(f"live: learning once more, from days to {days.stop}")
        self._learn_from(dataset, days)
        fault_point(QrunPoint.LIVE_MADE)
        self._keep(draft)


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
