"""The IC of train and valid is what Qlib's own prediction of the whole segment gives on those days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from qlib.contrib.eva.alpha import calc_ic
from qlib.data.dataset import DatasetH, TSDatasetH
from qlib.data.dataset.handler import DataHandlerLP

from qlib_shadow_runner.plugins._segment_ic import MOST_DAYS, segment_ic
from qlib_shadow_runner.plugins.double_ensemble import DEnsembleModel
from qlib_shadow_runner.plugins.lightgbm import LGBModel

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = pd.bdate_range("2020-01-01", periods=MOST_DAYS + 130, name="datetime")
TRAIN, VALID, TEST = DAYS[: MOST_DAYS + 70], DAYS[MOST_DAYS + 70 : -30], DAYS[-30:]
TREES: dict[str, Any] = {"seed": 7, "num_threads": 1, "verbosity": -1, "deterministic": True}


def dataset(*, drop_raw: bool = False, kind: type[DatasetH] = DatasetH) -> DatasetH:
    """Return noise in which an instrument is missing now and then, and so is a label."""
    generator = np.random.default_rng(3)
    rows = pd.MultiIndex.from_product([DAYS, [f"S{i}" for i in range(9)]], names=["datetime", "instrument"])
    values = generator.normal(size=(len(rows), 6)).astype(np.float32)
    values[generator.random(len(rows)) < 0.1, 5] = np.nan
    columns = pd.MultiIndex.from_tuples([*(("feature", f"F{i}") for i in range(5)), ("label", "LABEL0")])
    frame = pd.DataFrame(values, index=rows, columns=columns)[generator.random(len(rows)) > 0.1]
    handler = DataHandlerLP.from_df(frame)
    handler.drop_raw = drop_raw
    spans = {"train": TRAIN, "valid": VALID, "test": TEST}
    return kind(handler=handler, segments={name: (days[0], days[-1]) for name, days in spans.items()})


def boosted(data: DatasetH) -> LGBModel:
    """Return a model that knows the train segment by heart."""
    model = LGBModel(**TREES)
    features, labels = (data.prepare("train", col_set=name) for name in ("feature", "label"))
    there = labels.iloc[:, 0].notna()
    learned = lightgbm.Dataset(features[there].to_numpy(), labels[there].to_numpy()[:, 0])
    model.model = lightgbm.train({**TREES, "min_data_in_leaf": 5}, learned, 30)
    return model


def ensemble(data: DatasetH) -> DEnsembleModel:
    """Return a trained ensemble."""
    given = {**TREES, "num_models": 2, "epochs": 5, "decay": 0.5, "min_child_samples": 5}
    model = DEnsembleModel(**given, enable_fs=False, enable_sr=False)
    models = [boosted(data).model, boosted(data).model]
    model.ensemble, model.sub_features = models, [data.prepare("train", col_set="feature").columns] * 2
    return model


@pytest.mark.parametrize("trained", [boosted, ensemble])
def test_sampled_days_have_the_bits_of_the_whole_segment(trained: Callable[[DatasetH], Any]):
    """Of the model's predictions and the labels, by Qlib's own correlation; no random number is drawn."""
    data = dataset()
    model = trained(data)
    state = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002 - Qlib draws from it
    found = segment_ic(model, data)
    assert found is not None
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], state)  # noqa: NPY002
    for name in ("train", "valid"):
        mine = found.xs(name, level="segment")
        label = data.prepare(name, col_set="label", data_key=DataHandlerLP.DK_R).iloc[:, 0]
        wanted = calc_ic(model.predict(data, name), label)
        for column, whole in zip(("ic", "rank_ic"), wanted, strict=True):
            assert np.asarray(mine[column]).tobytes() == np.asarray(whole[mine.index]).tobytes()
    assert found.xs("train", level="segment")["ic"].mean() > 0.5


def test_days_are_spread_evenly_over_a_long_segment():
    """First and last among them; a short segment is measured on each of its days."""
    data = dataset()
    found = segment_ic(boosted(data), data)
    assert found is not None
    days = {name: found.xs(name, level="segment").index for name in ("train", "valid")}
    assert list(days["valid"]) == list(VALID)
    assert (len(days["train"]), days["train"][0], days["train"][-1]) == (MOST_DAYS, TRAIN[0], TRAIN[-1])
    assert set(np.diff(TRAIN.get_indexer(days["train"]))) == {1, 2}


@pytest.mark.parametrize(
    "given", [{"drop_raw": True}, {"kind": TSDatasetH}], ids=["raw labels dropped", "series"]
)
def test_nothing_is_recorded_where_qlib_alone_can_prepare_a_segment(given: dict[str, Any]):
    """The report says so."""
    assert segment_ic(None, dataset(**given)) is None
