"""Qlib's DoubleEnsemble: repeatable, with a checkpoint, and for features of any name.

Qlib draws the features of each sub-model with numpy's global generator, without a seed, and keeps them in the
order of a Python set, which differs between processes. LightGBM gets the names of a frame's columns and
refuses those of expressions without a name, such as Ref($close, 5), for their comma. Here the draw follows
the model's seed, the features keep the order of the dataset, and LightGBM numbers them.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
from qlib.contrib.model import double_ensemble

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.plugins._boosters import rounds_of, text_name
from qlib_shadow_runner.plugins._drift import leave_summary
from qlib_shadow_runner.plugins._live import Refitting
from qlib_shadow_runner.plugins._processor_state import keep_states_of
from qlib_shadow_runner.training.checkpoints import Checkpoint, CheckpointDraft, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qlib.data.dataset import DatasetH


class DEnsembleModel(Refitting, double_ensemble.DEnsembleModel):  # type: ignore[misc]
    """Qlib's model with the same arguments, and with the same trees unless features are selected."""

    ensemble: list[lightgbm.Booster]
    sub_features: list[pd.Index]
    _rounds: list[int] | None = None
    """The rounds of each sub-model, where no validation decides them."""

    def fit(self, dataset: DatasetH) -> None:
        """Train, or restore the models that an earlier attempt trained."""
        checkpoints = Checkpoints.from_environ()
        if checkpoints is None:
            self._fit(dataset)
        elif found := checkpoints.find(TrainingStep.MODEL):
            self._restore(found)
        else:
            self._fit_and_keep(checkpoints.begin(TrainingStep.MODEL), dataset)

    def _learn_from(self, dataset: DatasetH, days: slice) -> None:
        self._rounds = [rounds_of(model) for model in self.ensemble]
        self.ensemble, self.sub_features = [], []
        self._fit(_OneSpan(dataset, days))

    def train_submodel(
        self, df_train: pd.DataFrame, df_valid: pd.DataFrame, weights: pd.Series, features: pd.Index
    ) -> lightgbm.Booster:
        """Return the next sub-model as Qlib trains it, or without validation where its rounds are known."""
        if self._rounds is None:
            return super().train_submodel(df_train, df_valid, weights, features)  # type: ignore[no-any-return]
        data, _ = self._prepare_data_gbm(df_train, df_valid, weights, features)
        return lightgbm.train(self.params, data, num_boost_round=self._rounds[len(self.ensemble)])

    def _fit(self, dataset: DatasetH) -> None:
        with _seeded_draws(int(self.params.get("seed", 0))):
            super().fit(dataset)

    def _fit_and_keep(self, draft: CheckpointDraft, dataset: DatasetH) -> None:
        self._fit(dataset)
        fault_point(QrunPoint.MODEL_MADE)
        keep_states_of(dataset, draft)
        leave_summary(draft, dataset)
        self._keep(draft)

    def _keep(self, draft: CheckpointDraft) -> None:
        for number, model in enumerate(self.ensemble):
            text = model.model_to_string(num_iteration=-1)
            draft.path(text_name(draft.step, number)).write_text(text, encoding="utf-8")
        best = [model.best_iteration for model in self.ensemble]
        draft.keep({"best_iterations": best, "features": [list(names) for names in self.sub_features]})

    def _restore(self, found: Checkpoint, step: TrainingStep = TrainingStep.MODEL) -> None:
        self.sub_features = [pd.Index(names) for names in found.details["features"]]
        self.ensemble = []
        for number, best in enumerate(found.details["best_iterations"]):
            text = (found.folder / text_name(step, number)).read_text(encoding="utf-8")
            model = lightgbm.Booster(model_str=text)
            model.best_iteration = best
            self.ensemble.append(model)
        found.log_use(step)

    def _prepare_data_gbm(self, *given: Any) -> tuple[Any, ...]:
        """Return LightGBM's datasets, whose features have numbers for names."""
        sets: tuple[Any, ...] = super()._prepare_data_gbm(*given)
        for one in sets:
            one.set_feature_name([f"Column_{number}" for number in range(one.data.shape[1])])
        return sets

    def feature_selection(self, df_train: pd.DataFrame, loss_values: pd.Series) -> pd.Index:
        """Return the features that Qlib draws, in the order of the dataset."""
        with warnings.catch_warnings():
            # Qlib replaces missing values in a copy of a column that has none.
            warnings.filterwarnings("ignore", "A value is being set on a copy")
            drawn = super().feature_selection(df_train, loss_values)
        features: pd.Index = df_train["feature"].columns
        found: pd.Index = features[features.isin(drawn)]
        return found

    def get_feature_importance(self, *args: Any, **kwargs: Any) -> pd.Series:
        """Return the importance of each feature, summed over the sub-models by its name in the dataset."""
        each = [
            pd.Series(model.feature_importance(*args, **kwargs), index=features) * weight
            for model, features, weight in zip(
                self.ensemble, self.sub_features, self.sub_weights, strict=True
            )
        ]
        found: pd.Series = pd.concat(each, axis=1, sort=False).sum(axis=1).sort_values(ascending=False)
        return found


@dataclass(frozen=True)
class _OneSpan:
    """A dataset of some days, as Qlib's training asks for it: all of them are train."""

    dataset: DatasetH
    days: slice

    def prepare(self, _: list[str], **kwargs: Any) -> list[pd.DataFrame]:
        """Return the days, and one row as valid: Qlib refuses an empty one, and nothing reads it."""
        frame = self.dataset.prepare(self.days, **kwargs)
        return [frame, frame.head(1)]


@contextlib.contextmanager
def _seeded_draws(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which Qlib draws from, and give it back as it was."""
    before = np.random.get_state()  # noqa: NPY002 - Qlib uses this one
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
