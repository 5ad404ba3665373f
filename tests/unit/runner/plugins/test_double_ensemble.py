"""Our DoubleEnsemble has the trees of Qlib's, is repeatable, and takes features of any name."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qlib.contrib.model import double_ensemble as qlibs
from qlib.data.dataset import DatasetH
from qlib.data.dataset.handler import DataHandlerLP

from qlib_shadow_runner.plugins.double_ensemble import DEnsembleModel
from qlib_shadow_runner.training.checkpoints import ENV_CHECKPOINTS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [f"F{number}" for number in range(12)]
EXPRESSIONS = [f"Ref($close, {number})/$close" for number in range(12)]
GIVEN: dict[str, Any] = {
    "num_models": 3,
    "epochs": 6,
    "decay": 0.5,
    "seed": 7,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "min_child_samples": 5,
    "colsample_bytree": 0.7,
    "verbosity": -1,
}


def dataset(names: list[str]) -> DatasetH:
    """Return random features, one of them without values, and a label that follows from them."""
    days = pd.bdate_range("2020-01-01", periods=90, name="datetime")
    rows = pd.MultiIndex.from_product([days, [f"S{number}" for number in range(8)]])
    rows.names = ["datetime", "instrument"]
    generator = np.random.default_rng(1)
    features = generator.normal(size=(len(rows), len(names)))
    label = features[:, 0] - 0.5 * features[:, 1] * features[:, 2] + generator.normal(size=len(rows))
    features[:, 3] = np.nan
    columns = pd.MultiIndex.from_tuples([*(("feature", name) for name in names), ("label", "LABEL0")])
    frame = pd.DataFrame(np.column_stack([features, label]), index=rows, columns=columns)
    spans = {"train": (days[0], days[49]), "valid": (days[50], days[69]), "test": (days[70], days[-1])}
    return DatasetH(DataHandlerLP.from_df(frame), spans)


def fitted(model: Any, names: list[str] = NAMES) -> Any:
    """Return a model after training."""
    model.fit(dataset(names))
    return model


def predicted(model: Any, names: list[str] = NAMES) -> bytes:
    """Return the predictions of a trained model, as bytes."""
    return np.asarray(model.predict(dataset(names))).tobytes()


def test_predictions_equal_qlibs_without_a_selection_of_features():
    """To the last bit, with samples weighted again for each model."""
    ours = fitted(DEnsembleModel(**GIVEN, enable_fs=False))
    theirs = fitted(qlibs.DEnsembleModel(**GIVEN, enable_fs=False))
    assert predicted(ours) == predicted(theirs)


def test_expressions_without_names_give_the_same_predictions():
    """LightGBM refuses them as names, which ends Qlib's own model."""
    given = {**GIVEN, "enable_fs": False}
    with pytest.raises(Exception, match="special JSON characters in feature name"):
        fitted(qlibs.DEnsembleModel(**given), EXPRESSIONS)
    unnamed = fitted(DEnsembleModel(**given), EXPRESSIONS)
    assert predicted(unnamed, EXPRESSIONS) == predicted(fitted(DEnsembleModel(**given)))
    assert list(unnamed.get_feature_importance().index[:1]) == [EXPRESSIONS[0]]


QLIBS_COPY = pytest.mark.filterwarnings("ignore:A value is being set on a copy")
"""Qlib's own selection replaces values in a copy of a column, for which pandas warns."""


@QLIBS_COPY
def test_selected_features_are_those_that_qlib_draws_from_the_same_seed():
    """In the order of the dataset, whatever the order of a set is."""
    np.random.seed(7)  # noqa: NPY002 - Qlib draws from it
    theirs = fitted(qlibs.DEnsembleModel(**GIVEN))
    ours = fitted(DEnsembleModel(**GIVEN))
    assert set(ours.sub_features[1]) == set(theirs.sub_features[1])
    for chosen in ours.sub_features:
        assert list(chosen) == [name for name in NAMES if name in set(chosen)]
    assert len(ours.sub_features[1]) < len(NAMES)


def test_predictions_follow_the_seed_alone():
    """Of two trainings; the caller's generator goes on as if there had been none."""
    state = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    first, second = (fitted(DEnsembleModel(**GIVEN)) for _ in range(2))
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], state)  # noqa: NPY002
    assert predicted(first) == predicted(second)
    assert predicted(first) != predicted(fitted(DEnsembleModel(**{**GIVEN, "seed": 8})))


def test_trained_models_are_taken_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A later attempt trains nothing, and predicts the same."""
    monkeypatch.setenv(ENV_CHECKPOINTS, str(tmp_path))
    first = fitted(DEnsembleModel(**GIVEN, early_stopping_rounds=2))
    again = DEnsembleModel(**GIVEN, early_stopping_rounds=2)
    monkeypatch.setattr(again, "train_submodel", None)
    assert predicted(fitted(again)) == predicted(first)
    assert "model: taken from the checkpoint of" in capsys.readouterr().out


@QLIBS_COPY
@pytest.mark.parametrize("stopped", [None, 1])
def test_the_live_ensemble_is_qlibs_on_the_longer_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int | None
):
    """Each sub-model with its own rounds, and the features drawn from the same seed."""
    monkeypatch.setenv(ENV_CHECKPOINTS, str(tmp_path))
    data = dataset(NAMES)
    days = slice(data.segments["train"][0], data.segments["test"][1] - pd.Timedelta(days=4))
    evaluated = fitted(DEnsembleModel(**GIVEN, early_stopping_rounds=stopped))
    rounds = [model.best_iteration if stopped else GIVEN["epochs"] for model in evaluated.ensemble]
    before = predicted(evaluated)
    live = copy.copy(evaluated)
    live.refit(data, days)
    assert predicted(evaluated) == before != predicted(live)
    assert [model.num_trees() for model in live.ensemble] == rounds

    class Longer(qlibs.DEnsembleModel):  # type: ignore[misc]
        def train_submodel(self, *given: Any) -> Any:
            self.epochs = rounds[len(self.ensemble)]
            return super().train_submodel(*given)

        def feature_selection(self, *given: Any) -> pd.Index:
            drawn = set(super().feature_selection(*given))
            return pd.Index([name for name in NAMES if name in drawn])

    np.random.seed(GIVEN["seed"])  # noqa: NPY002 - Qlib draws from it
    theirs = Longer(**GIVEN)
    theirs.fit(DatasetH(data.handler, {**data.segments, "train": (days.start, days.stop)}))
    assert predicted(live) == predicted(theirs)
    again = copy.copy(evaluated)
    monkeypatch.setattr(again, "train_submodel", None)
    again.refit(data, None)
    assert predicted(again) == predicted(live)
