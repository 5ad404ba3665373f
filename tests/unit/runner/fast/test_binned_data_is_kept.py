"""Binned datasets: the same model as Qlib's to the last bit, whoever binned, and never from damaged ones."""

from __future__ import annotations

import logging
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import qlib
from qlib.contrib.data import handler as qlibs_handlers
from qlib.contrib.model import gbdt
from qlib.data.dataset import DatasetH
from qlib.workflow import R
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.fast.markets import Life, Market

from qlib_shadow_runner.cache.places import ENV_CACHE
from qlib_shadow_runner.cache.store import CONTENT, Store, StoreDraft
from qlib_shadow_runner.plugins import handlers
from qlib_shadow_runner.plugins.handlers import features, training_sets
from qlib_shadow_runner.plugins.lightgbm import LGBModel
from qlib_shadow_runner.plugins.lightgbm_bins import FILE, BinnedStore, are_supported, datasets
from qlib_shadow_runner.plugins.training_data import LazyTrainingFrame, TrainingData

if TYPE_CHECKING:
    from pathlib import Path

DAYS = [str(day) for day in weekdays(160)]
SEGMENTS = {
    "train": (DAYS[0], DAYS[90]),
    "valid": (DAYS[91], DAYS[120]),
    "test": (DAYS[121], DAYS[159]),
}
MARKET = Market(
    160,
    {
        name: Life(number * 5, 150 - number * 5, number, gaps=0.05, infinite=0.01)
        for number, name in enumerate(["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"])
    },
    {},
)
PARAMS: dict[str, Any] = {
    "loss": "mse",
    "learning_rate": 0.1,
    "num_leaves": 15,
    "lambda_l1": 0.1,
    "subsample": 0.9,
    "subsample_freq": 1,
    "seed": 7,
    "max_bin": 63,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Fitted:
    """What came of a training."""

    text: str
    best: int
    curves: dict[str, Any]
    predictions: pd.Series


@pytest.fixture(scope="module", autouse=True)
def _market(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let Qlib read a small market."""
    folder = MARKET.write(tmp_path_factory.mktemp("market") / "us")
    qlib.init(provider_uri=str(folder), region="us", kernels=1, logging_level=logging.ERROR)


def dataset(module: Any = handlers, **changed: Any) -> DatasetH:
    """Make a dataset by one handler or the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        handler = module.Alpha158(
            instruments="all",
            start_time=DAYS[0],
            end_time=DAYS[159],
            fit_start_time=DAYS[0],
            fit_end_time=DAYS[90],
        )
    return DatasetH(handler, **{"segments": SEGMENTS, **changed})


def fit(model: type[gbdt.LGBModel], given: DatasetH, place: Path, **params: Any) -> Fitted:
    """Train, and predict."""
    curves: dict[str, Any] = {}
    with warnings.catch_warnings(), R.start(experiment_name="bins", uri=str(place / "mlruns")):
        warnings.simplefilter("ignore")
        made = model(**{**PARAMS, **params}, num_boost_round=12, early_stopping_rounds=4)
        made.fit(given, evals_result=curves)
        predictions = made.predict(given)
    return Fitted(
        made.model.model_to_string(num_iteration=-1), made.model.best_iteration, curves, predictions
    )


@pytest.fixture(scope="module")
def qlibs(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Train by Qlib alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return fit(gbdt.LGBModel, dataset(qlibs_handlers), tmp_path_factory.mktemp("qlibs"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a place for what is kept."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tmp_path / "cache"


def require_same(one: Fitted, other: Fitted) -> None:
    """Compare trees, curves, the round that was best, and every bit of what is foreseen."""
    assert one.text == other.text
    assert (one.best, one.curves) == (other.best, other.curves)
    pd.testing.assert_index_equal(one.predictions.index, other.predictions.index)
    assert one.predictions.to_numpy().tobytes() == other.predictions.to_numpy().tobytes()


@pytest.mark.usefixtures("home")
def test_a_model_is_qlibs_whether_its_bins_are_made_kept_or_found(
    qlibs: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Without a shelf, with an empty one, and with a full one: the same trees, curves and predictions."""
    given = dataset()
    first, second = fit(LGBModel, given, tmp_path), fit(LGBModel, dataset(), tmp_path)
    feature_stats = [line for line in capfd.readouterr().out.splitlines() if line.startswith("binned data: ")]
    assert feature_stats == [
        "binned data: train kept for other runs, valid kept for other runs",
        "binned data: train taken from the cache, valid taken from the cache",
    ]
    monkeypatch.delenv(ENV_CACHE)
    for one in (first, second, fit(LGBModel, given, tmp_path)):
        require_same(qlibs, one)
    monkeypatch.setattr("qlib_shadow_runner.plugins.lightgbm.BATCH_ROWS", 7)
    require_same(qlibs, fit(LGBModel, given, tmp_path))


def test_qlibs_own_model_learns_the_same_from_our_handler(
    qlibs: Fitted, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """It asks for frames, which are put together for it; and our model with Qlib's handler is Qlib's."""
    require_same(qlibs, fit(gbdt.LGBModel, dataset(), tmp_path))
    require_same(qlibs, fit(LGBModel, dataset(qlibs_handlers), tmp_path))
    assert "binned data: " not in capfd.readouterr().out
    assert [entry.kind for entry in Store(home).entries()] == ["features"]


def test_what_learning_is_not_understood_is_left_to_qlib():
    """Segments that Qlib refuses, in its own words; datasets of another kind; steps that see features."""
    nothing = {"train": ("1990-01-01", "1990-12-31")}
    given = dataset(segments=nothing)
    assert training_sets(given) == {}
    with pytest.raises(ValueError, match="Empty data from dataset"):
        LGBModel(**PARAMS)._prepare_data(given)
    assert training_sets(dataset(segments={"test": SEGMENTS["test"]})) == {}
    assert training_sets(dataset(qlibs_handlers)) == {}
    assert training_sets(dataset(fetch_kwargs={"squeeze": True})) == {}
    assert training_sets(dataset()).keys() == {"train", "valid"}


ASKED: list[dict[str, Any]] = [
    {},
    {"col_set": ["feature", "label"]},
    {"col_set": "label"},
    {"col_set": "feature"},
    {"col_set": "__raw"},
    {"selector": slice(DAYS[20], DAYS[30])},
    {"selector": (DAYS[20], DAYS[30]), "col_set": ["label"]},
    {"selector": pd.Timestamp(DAYS[20])},
    {"selector": ["AAA", "CCC"], "level": "instrument", "col_set": "feature"},
    {"selector": (pd.Timestamp(DAYS[20]), "BBB"), "level": None},
    {"selector": (pd.Timestamp(DAYS[20]),), "level": None, "col_set": ["feature", "label"]},
    {"selector": slice("1990-01-01", "1990-12-31")},
]


def test_every_part_of_what_is_learnt_from_is_qlibs():
    """By days, instruments and groups, as frames or less; and what it has under its own name."""
    theirs, ours = dataset(qlibs_handlers).handler, dataset().handler
    for asked in ASKED:
        want, found = (each.fetch(**asked, data_key="learn") for each in (theirs, ours))
        assert type(want) is type(found), asked
        pd.testing.assert_index_equal(want.index, found.index)
        assert np.asarray(want).tobytes() == np.ascontiguousarray(found).tobytes(), asked
    assert isinstance(ours._training_frame, LazyTrainingFrame)
    pd.testing.assert_frame_equal(theirs._learn, ours._learn)
    for group in ("feature", "label", "__all"):
        assert theirs.get_cols(group, "learn") == ours.get_cols(group, "learn")


SPANS: list[Any] = [
    SEGMENTS["test"],
    list(SEGMENTS["train"]),
    (DAYS[3], None),
    (None, DAYS[3]),
    (pd.Timestamp(DAYS[20]), pd.Timestamp(DAYS[20])),
    (DAYS[20][:7], DAYS[40][:7]),
    ("1990-01-01", "1990-12-31"),
    (DAYS[90], "2100-12-31"),
]


def test_what_is_foreseen_from_is_qlibs_and_no_copy():
    """Whatever days are asked for, open at an end, as months, or none at all."""
    theirs, ours = dataset(qlibs_handlers), dataset()
    whole = ours.handler.fetch(data_key="infer", col_set="__raw").to_numpy()
    for span in SPANS:
        theirs.segments["asked"] = ours.segments["asked"] = span
        want = theirs.prepare("asked", col_set="feature", data_key="infer")
        values, rows = features(ours, "asked")
        pd.testing.assert_index_equal(want.index, rows)
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(want).tobytes(), span
        assert not len(values) or np.shares_memory(values, whole), span


def test_what_lies_apart_or_is_asked_otherwise_is_qlibs_copy():
    """Features in another block than labels, spans without a name, other questions; or Qlib's refusal."""
    want = dataset(qlibs_handlers).prepare("test", col_set="feature", data_key="infer")
    apart, backwards = dataset(), dataset()
    whole = apart.handler.fetch(data_key="infer", col_set="__raw")
    apart.handler._infer = pd.concat([whole[["label"]], whole[["feature"]]], axis=1)
    for given, asked in (
        (apart, "test"),
        (dataset(), slice(*SEGMENTS["test"])),
        (dataset(fetch_kwargs={"squeeze": True}), "test"),
    ):
        values, rows = features(given, asked)
        pd.testing.assert_index_equal(want.index, rows)
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(want).tobytes()
    backwards.prepare("test")
    backwards.handler._infer = whole.iloc[::-1]
    with pytest.raises(pd.errors.UnsortedIndexError):
        features(backwards, "test")


def training_data(rows: int = 500, seed: int = 1) -> TrainingData:
    """Make something to learn from."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 1, (6, rows + 40)).astype(np.float32)
    features[2, ::7] = np.nan
    places = np.flatnonzero(random.random(rows + 40) < 0.9)
    return TrainingData(features, places, random.normal(0, 1, len(places)).astype(np.float32))


def names(store: BinnedStore) -> set[str]:
    """List the keys of what is kept."""
    return {entry.folder.name for entry in store.entries()}


def test_other_values_or_parameters_have_another_name(tmp_path: Path):
    """Whatever has a say in binning; what has none, such as trees and threads, finds the same."""
    given = training_data()
    changed = given.features.copy()
    changed[5, given.rows[-1]] += 1
    store = BinnedStore(tmp_path)
    datasets({"train": given}, PARAMS, store)
    [first] = names(store)
    again: list[dict[str, Any]] = [
        {"num_threads": 1, "learning_rate": 0.5, "num_leaves": 3},
        {"lambda_l1": 9.0, "deterministic": False, "num_boost_round": 3, "max_depth": 2},
    ]
    for params in again:
        datasets({"train": given}, {**PARAMS, **params}, store)
        assert names(store) == {first}
    spare = tmp_path / "spare"
    datasets({"train": given}, {**PARAMS, **again[0]}, BinnedStore(spare))
    assert (spare / first / FILE).read_bytes() == (tmp_path / first / FILE).read_bytes()
    shutil.rmtree(spare)
    others: list[tuple[TrainingData, dict[str, Any]]] = [
        (replace(given, features=changed), {}),
        (replace(given, labels=-given.labels), {}),
        (replace(given, rows=given.rows[:-1], labels=given.labels[:-1]), {}),
        *((given, {name: 9}) for name in ("max_bin", "min_data_in_bin", "seed", "min_child_samples")),
        (given, {"feature_pre_filter": False}),
    ]
    for number, (one, params) in enumerate(others):
        datasets({"train": one}, {**PARAMS, **params}, store)
        assert len(names(store)) == number + 2
    twice = {"train": given, "valid": given}
    datasets(twice, PARAMS, store)
    assert len(names(store)) == len(others) + 2


@pytest.mark.parametrize(
    "params",
    [
        {"linear_tree": True},
        {"categorical_feature": "0"},
        {"max_bin_by_feature": [3] * 158},
        {"forcedbins_filename": "bounds.json"},
        {"device_type": "gpu"},
    ],
)
def test_parameters_that_say_more_than_their_value_are_left_to_qlib(params: dict[str, Any]):
    """Files, columns and devices."""
    assert are_supported(PARAMS)
    assert not are_supported({**PARAMS, **params})


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / FILE).write_bytes(bytes((folder / FILE).stat().st_size)),
        lambda folder: (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-1]),
        lambda folder: (folder / FILE).unlink(),
        lambda folder: (folder / CONTENT).write_text("{}"),
        lambda folder: (folder / CONTENT).unlink(),
    ],
    ids=["other bytes", "cut", "no dataset", "no description", "no content"],
)
def test_what_is_damaged_is_told_removed_and_binned_again(
    tmp_path: Path, damage: Any, capfd: pytest.CaptureFixture[str]
):
    """LightGBM never sees it."""
    store, given = BinnedStore(tmp_path), {"train": training_data(), "valid": training_data(200)}
    datasets(given, PARAMS, store)
    kept = names(store)
    for name in kept:
        damage(tmp_path / name)
    assert [dataset.num_data() for dataset, _ in datasets(given, PARAMS, store)] == [
        len(one.rows) for one in given.values()
    ]
    feature_stats = capfd.readouterr()
    assert feature_stats.err.count("cannot be used") == 2
    assert "the binned data are computed again" in feature_stats.err
    assert feature_stats.out.endswith("binned data: train kept for other runs, valid kept for other runs\n")
    assert names(store) == kept


def test_what_lightgbm_cannot_read_is_binned_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Though its hash be right: at its last bytes LightGBM does not see that the disk is full."""
    store, given = BinnedStore(tmp_path), {"train": training_data()}
    datasets(given, PARAMS, store)
    [name] = names(store)
    (tmp_path / name / FILE).write_bytes((tmp_path / name / FILE).read_bytes()[:-100])
    (tmp_path / name).rename(tmp_path / "cut")
    draft = StoreDraft(tmp_path / "cut", name)
    (tmp_path / "cut" / CONTENT).unlink()
    assert store.publish(draft, {}) == "kept for other runs"
    datasets(given, PARAMS, store)
    assert "cannot be used" in capfd.readouterr().err
    datasets(given, PARAMS, store)
    assert capfd.readouterr().out == "binned data: train taken from the cache\n"


@pytest.mark.parametrize("seen", ["before", ""], ids=["seen before", "filled meanwhile"])
def test_a_full_disk_costs_no_more_than_the_bins(
    small_volume: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seen: str
):
    """What is not whole is not kept, and the run goes on."""
    given = {"train": training_data(1_000_000)}
    if not seen:
        monkeypatch.setattr(BinnedStore, "make_room", lambda *_: None)
    [(dataset, _)] = datasets(given, PARAMS, BinnedStore(small_volume / "cache"))
    assert dataset.num_data() == len(given["train"].rows)
    feature_stats = capfd.readouterr()
    why = "12.0 MiB are more than the 2.0 MiB" if seen else "Cannot write binary data"
    assert f"the binned data are not kept for other runs: {why}" in feature_stats.err
    assert feature_stats.out == "binned data: train not kept\n"
    assert list((small_volume / "cache").glob("*")) == []


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """And the run goes on."""
    (tmp_path / "file").write_text("")
    datasets({"train": training_data()}, PARAMS, BinnedStore(tmp_path / "file" / "cache"))
    feature_stats = capfd.readouterr()
    assert "the binned data are not kept for other runs" in feature_stats.err
    assert feature_stats.out == "binned data: train not kept\n"


def test_many_at_once_leave_one_of_each(tmp_path: Path):
    """Each trains with what it has; whoever is last finds it there."""
    given = {"train": training_data(), "valid": training_data(200)}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: datasets(given, PARAMS, BinnedStore(tmp_path)), range(8)))
    assert {dataset.num_data() for each in found for dataset, _ in each} == {
        len(one.rows) for one in given.values()
    }
    assert len(names(BinnedStore(tmp_path))) == 2
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
