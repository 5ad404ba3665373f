"""Qlib's LightGBM model with a checkpoint, synchronous metrics, and training data that is binned once.

Qlib's recorder writes metrics in a thread of its own while the run goes on to save objects, for which MLflow
reads every metric file. A file that exists but is still empty at that moment ends the run with "Metric 'IC'
is malformed. No data found". It happens on busy machines, and costs the whole training. So metrics are
written synchronously.

With our handlers, the training data goes to LightGBM without Qlib's copies, and is binned once for all runs.
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
from qlib_shadow_runner.plugins._boosters import rounds_of, text_name
from qlib_shadow_runner.plugins._dataset import features_of, training_data_of, training_sets
from qlib_shadow_runner.plugins._drift import leave_summary
from qlib_shadow_runner.plugins._lightgbm_bins import BinnedStore, are_supported, datasets
from qlib_shadow_runner.plugins._live import Refitting
from qlib_shadow_runner.plugins._processor_state import keep_states_of
from qlib_shadow_runner.plugins.handlers import DataHandlerLP
from qlib_shadow_runner.plugins.records import log_synchronously
from qlib_shadow_runner.training.checkpoints import Checkpoint, CheckpointDraft, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from qlib.data.dataset import DatasetH

BATCH_ROWS: Final = 1 << 16
"""Rows for which predictions are made at a time."""


class LGBModel(Refitting, gbdt.LGBModel):  # type: ignore[misc]
    """Qlib's model with the same arguments and the same trees."""

    model: Any
    """LightGBM's booster; None before it is trained."""

    def fit(self, dataset: DatasetH, **kwargs: Any) -> None:
        """Train, or restore the model that an earlier attempt trained."""
        log_synchronously(R.get_recorder())
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
        _write(self.model, draft)
        keep_states_of(dataset, draft)
        leave_summary(draft, dataset)
        best = {"best_iteration": self.model.best_iteration, "best_score": self.model.best_score}
        draft.keep({**best, "evaluations": evaluations})

    def _keep(self, draft: CheckpointDraft) -> None:
        _write(self.model, draft)
        draft.keep({"best_iteration": self.model.best_iteration})

    def _learn_from(self, dataset: DatasetH, days: slice) -> None:
        found = training_data_of(dataset, days) if are_supported(self.params) else None
        if found:
            # The binned data is not kept: no other night has these days.
            [(data, _)] = datasets({"live": found}, self.params, None)
        else:
            frame = dataset.prepare(days, col_set=["feature", "label"], data_key=DataHandlerLP.DK_L)
            data = lightgbm.Dataset(frame["feature"].to_numpy(), label=frame["label"].to_numpy()[:, 0])
        rounds = rounds_of(self.model)
        model = lightgbm.train(self.params, data, num_boost_round=rounds)
        model.best_iteration = rounds
        self.model = model

    def _prepare_data(self, dataset: DatasetH, reweighter: Any = None) -> list[tuple[lightgbm.Dataset, str]]:
        """Return LightGBM's datasets: binned once for data of our handlers, else as Qlib makes them."""
        found = training_sets(dataset) if reweighter is None and are_supported(self.params) else {}
        if found:
            return datasets(found, self.params, BinnedStore.from_environ())
        return super()._prepare_data(dataset, reweighter)  # type: ignore[no-any-return]

    def predict(self, dataset: DatasetH, segment: str | slice = "test") -> pd.Series:
        """Predict in batches, since LightGBM copies the rows that it is given."""
        if self.model is None or not isinstance(dataset.handler, DataHandlerLP):
            return super().predict(dataset, segment)  # type: ignore[no-any-return]
        values, rows = features_of(dataset, segment)
        starts = range(0, max(len(values), 1), BATCH_ROWS)
        batches = [self._predict_values(values[start : start + BATCH_ROWS]) for start in starts]
        return pd.Series(np.concatenate(batches), index=rows)

    def _predict_values(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = np.asarray(self.model.predict(values))
        release_pages(values)
        return found

    def _restore(self, found: Checkpoint, step: TrainingStep = TrainingStep.MODEL) -> None:
        text = (found.folder / text_name(step)).read_text(encoding="utf-8")
        self.model = lightgbm.Booster(model_str=text)
        self.model.best_iteration = found.details["best_iteration"]
        self.model.best_score = found.details.get("best_score", {})
        _log_evaluations(found.details.get("evaluations", {}))  # a kept model brings neither
        found.log_use(step)


def _write(model: lightgbm.Booster, draft: CheckpointDraft) -> None:
    text = model.model_to_string(num_iteration=-1)
    draft.path(text_name(draft.step)).write_text(text, encoding="utf-8")


def _log_evaluations(evaluations: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Log what Qlib logs after training, under the same names."""
    for segment, curves in evaluations.items():
        for name, values in curves.items():
            for round_, value in enumerate(values):
                R.log_metrics(**{f"{name}.{segment}".replace("@", "_"): value}, step=round_)
