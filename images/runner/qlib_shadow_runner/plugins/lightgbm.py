"""The model that the built-in template names: Qlib's LightGBM, trained once, its recorder in step.

Qlib's recorder writes metrics in a thread of its own while the run goes on to save objects, for which
MLflow reads every metric file. A file that exists but is still empty at that instant ends the run with
"Metric 'IC' is malformed. No data found". It happens on busy machines, and costs the whole training.
Loaded by qrun, by class path; knows Qlib and nothing of the stages.

With the fast engine's handlers, what is learnt from goes to LightGBM without Qlib's copies, binned once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
import pandas as pd
from qlib.contrib.model import gbdt
from qlib.workflow import R

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.engine.layout import release_pages
from qlib_shadow_runner.plugins.handlers import DataHandlerLP, features, training_sets
from qlib_shadow_runner.plugins.lightgbm_bins import BinnedStore, are_supported, datasets
from qlib_shadow_runner.plugins.records import log_in_step
from qlib_shadow_runner.training.checkpoints import Checkpoint, CheckpointDraft, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from qlib.data.dataset import DatasetH

MODEL_FILE: Final = "model.txt"
"""LightGBM's own text. lightgbm.train ends by reading back this very text, so that nothing is lost in it."""

BATCH_ROWS: Final = 1 << 16
"""Rows at a time."""


class LGBModel(gbdt.LGBModel):  # type: ignore[misc]
    """Qlib's model, unchanged; training is the first that logs a metric."""

    def fit(self, dataset: DatasetH, **kwargs: Any) -> None:
        """Train, once the recorder is in step; or take what an earlier attempt trained."""
        log_in_step(R.get_recorder())
        checkpoints = Checkpoints.from_environ()
        if checkpoints is None:
            super().fit(dataset, **kwargs)
        elif found := checkpoints.find(TrainingStep.MODEL):
            self._restore(found)
        else:
            self._fit_and_keep(checkpoints.begin(TrainingStep.MODEL), dataset, **kwargs)

    def _fit_and_keep(self, draft: CheckpointDraft, dataset: DatasetH, **kwargs: Any) -> None:
        evaluations: dict[str, Any] = {}
        super().fit(dataset, evals_result=evaluations, **kwargs)
        fault_point(QrunPoint.MODEL_MADE)
        draft.path(MODEL_FILE).write_text(self.model.model_to_string(num_iteration=-1), encoding="utf-8")
        best = {"best_iteration": self.model.best_iteration, "best_score": self.model.best_score}
        draft.keep({**best, "evaluations": evaluations})

    def _prepare_data(self, dataset: DatasetH, reweighter: Any = None) -> list[tuple[lightgbm.Dataset, str]]:
        """Bin once what the fast engine's handlers give; all else is Qlib's."""
        found = training_sets(dataset) if reweighter is None and are_supported(self.params) else {}
        if found:
            return datasets(found, self.params, BinnedStore.from_environ())
        return super()._prepare_data(dataset, reweighter)  # type: ignore[no-any-return]

    def predict(self, dataset: DatasetH, segment: str | slice = "test") -> pd.Series:
        """Predict some rows after others: LightGBM copies what it is given."""
        if self.model is None or not isinstance(dataset.handler, DataHandlerLP):
            return super().predict(dataset, segment)  # type: ignore[no-any-return]
        values, rows = features(dataset, segment)
        pieces = [
            self._predict_values(values[at : at + BATCH_ROWS])
            for at in range(0, max(len(values), 1), BATCH_ROWS)
        ]
        return pd.Series(np.concatenate(pieces), index=rows)

    def _predict_values(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = np.asarray(self.model.predict(values))
        release_pages(values)
        return found

    def _restore(self, found: Checkpoint) -> None:
        text = (found.folder / MODEL_FILE).read_text(encoding="utf-8")
        self.model = lightgbm.Booster(model_str=text)
        self.model.best_iteration = found.details["best_iteration"]
        self.model.best_score = found.details["best_score"]
        _log_evaluations(found.details["evaluations"])
        found.tell(TrainingStep.MODEL)


def _log_evaluations(evaluations: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Log what Qlib logs after training, by the same names."""
    for segment, curves in evaluations.items():
        for name, values in curves.items():
            for round_, value in enumerate(values):
                R.log_metrics(**{f"{name}.{segment}".replace("@", "_"): value}, step=round_)
