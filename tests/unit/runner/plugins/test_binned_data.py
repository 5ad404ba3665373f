"""Binned datasets give the model that Qlib trains, to the last bit, and damaged ones are never used."""

from __future__ import annotations

import logging
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import qlib
from qlib.contrib.data import handler as qlibs_handlers
from qlib.contrib.model import gbdt
from qlib.data.dataset import DatasetH
from qlib.workflow import R
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.plugins.markets import Listing, Market

from qlib_shadow_runner.cache.content import CONTENT
from qlib_shadow_runner.cache.places import ENV_CACHE
from qlib_shadow_runner.cache.store import Store, StoreDraft
from qlib_shadow_runner.plugins import handlers
from qlib_shadow_runner.plugins._dataset import features_of, training_sets
from qlib_shadow_runner.plugins._lightgbm_bins import FILE, BinnedStore, are_supported, datasets
from qlib_shadow_runner.plugins._training_data import LazyTrainingFrame, TrainingData
from qlib_shadow_runner.plugins.lightgbm import LGBModel

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
        name: Listing(number * 5, 150 - number * 5, number, gaps=0.05, infinite=0.01)
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
    """The result of a training."""

    text: str
    best: int
    curves: dict[str, Any]
    predictions: pd.Series


@pytest.fixture(scope="module", autouse=True)
def _market(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let Qlib open a small market."""
    folder = MARKET.write(tmp_path_factory.mktemp("market") / "us")
    qlib.init(provider_uri=str(folder), region="us", kernels=1, logging_level=logging.ERROR)


def dataset(module: Any = handlers, **changed: Any) -> DatasetH:
    """Return a dataset whose handler is Qlib's or ours."""
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
    """Train and predict."""
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
    """Return the result of Qlib's own classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return fit(gbdt.LGBModel, dataset(qlibs_handlers), tmp_path_factory.mktemp("qlibs"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set and return a folder for the cache."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tmp_path / "cache"


def require_same(one: Fitted, other: Fitted) -> None:
    """Compare trees, curves, the best round, and every bit of the predictions."""
    assert one.text == other.text
    assert (one.best, one.curves) == (other.best, other.curves)
    pd.testing.assert_index_equal(one.predictions.index, other.predictions.index)
    assert one.predictions.to_numpy().tobytes() == other.predictions.to_numpy().tobytes()


@pytest.mark.usefixtures("home")
def test_model_equals_qlibs_with_and_without_cached_bins(
    qlibs: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Without a cache, with an empty one, and with a filled one: the same trees, curves and predictions."""
    given = dataset()
    first, second = fit(LGBModel, given, tmp_path), fit(LGBModel, dataset(), tmp_path)
    output = [line for line in capfd.readouterr().out.splitlines() if line.startswith("binned data: ")]
    assert output == [
        "binned data: train kept for other runs, valid kept for other runs",
        "binned data: train taken from the cache, valid taken from the cache",
    ]
    monkeypatch.delenv(ENV_CACHE)
    for one in (first, second, fit(LGBModel, given, tmp_path)):
        require_same(qlibs, one)
    monkeypatch.setattr("qlib_shadow_runner.plugins.lightgbm.BATCH_ROWS", 7)
    require_same(qlibs, fit(LGBModel, given, tmp_path))


def test_qlibs_model_trains_equally_with_our_handler(
    qlibs: Fitted, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Qlib's model requests frames, which are put together; our model with Qlib's handler equals Qlib's."""
    require_same(qlibs, fit(gbdt.LGBModel, dataset(), tmp_path))
    require_same(qlibs, fit(LGBModel, dataset(qlibs_handlers), tmp_path))
    assert "binned data: " not in capfd.readouterr().out
    assert [entry.kind for entry in Store(home).entries()] == ["features"]


def test_unsupported_training_data_is_left_to_qlib():
    """Segments that Qlib refuses with its own error, other datasets, processors that read features."""
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


def test_parts_of_training_frame_equal_qlib():
    """By days, instruments and groups, as frames or less; and Qlib's own attribute."""
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


def test_prediction_features_equal_qlib_without_copy():
    """For any days: open at an end, given as months, or none at all."""
    theirs, ours = dataset(qlibs_handlers), dataset()
    whole = ours.handler.fetch(data_key="infer", col_set="__raw").to_numpy()
    for span in SPANS:
        theirs.segments["asked"] = ours.segments["asked"] = span
        want = theirs.prepare("asked", col_set="feature", data_key="infer")
        values, rows = features_of(ours, "asked")
        pd.testing.assert_index_equal(want.index, rows)
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(want).tobytes(), span
        assert not len(values) or np.shares_memory(values, whole), span


def test_unusual_prediction_features_are_copied_by_qlib():
    """Features in another block than labels, spans without a name, other arguments; or Qlib's error."""
    want = dataset(qlibs_handlers).prepare("test", col_set="feature", data_key="infer")
    apart, backwards = dataset(), dataset()
    whole = apart.handler.fetch(data_key="infer", col_set="__raw")
    apart.handler._infer = pd.concat([whole[["label"]], whole[["feature"]]], axis=1)
    for given, asked in (
        (apart, "test"),
        (dataset(), slice(*SEGMENTS["test"])),
        (dataset(fetch_kwargs={"squeeze": True}), "test"),
    ):
        values, rows = features_of(given, asked)
        pd.testing.assert_index_equal(want.index, rows)
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(want).tobytes()
    backwards.prepare("test")
    backwards.handler._infer = whole.iloc[::-1]
    with pytest.raises(pd.errors.UnsortedIndexError):
        features_of(backwards, "test")


def training_data(rows: int = 500, seed: int = 1) -> TrainingData:
    """Return random training data."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 1, (6, rows + 40)).astype(np.float32)
    features[2, ::7] = np.nan
    places = np.flatnonzero(random.random(rows + 40) < 0.9)
    return TrainingData(features, places, random.normal(0, 1, len(places)).astype(np.float32))


def names(store: BinnedStore) -> set[str]:
    """Return the keys of the entries."""
    return {entry.folder.name for entry in store.entries()}


def test_key_follows_values_and_parameters(tmp_path: Path):
    """Everything that changes binning; parameters of trees and threads find the same entry."""
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
def test_unsupported_parameters_are_left_to_qlib(params: dict[str, Any]):
    """They refer to files, columns and devices."""
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
def test_damaged_dataset_is_reported_and_binned_again(
    tmp_path: Path, damage: Any, capfd: pytest.CaptureFixture[str]
):
    """LightGBM never reads it."""
    store, given = BinnedStore(tmp_path), {"train": training_data(), "valid": training_data(200)}
    datasets(given, PARAMS, store)
    kept = names(store)
    for name in kept:
        damage(tmp_path / name)
    assert [dataset.num_data() for dataset, _ in datasets(given, PARAMS, store)] == [
        len(one.rows) for one in given.values()
    ]
    output = capfd.readouterr()
    assert output.err.count("cannot be used") == 2
    assert "the binned data are computed again" in output.err
    assert output.out.endswith("binned data: train kept for other runs, valid kept for other runs\n")
    assert names(store) == kept


def test_dataset_unreadable_by_lightgbm_is_binned_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Its hash may be right: LightGBM does not notice when the disk is full at its last bytes."""
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
def test_full_disk_keeps_no_binned_data(
    small_volume: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seen: str
):
    """An incomplete file is not kept, and the run continues."""
    given = {"train": training_data(1_000_000)}
    if not seen:
        monkeypatch.setattr(BinnedStore, "make_room", lambda *_: None)
    [(dataset, _)] = datasets(given, PARAMS, BinnedStore(small_volume / "cache"))
    assert dataset.num_data() == len(given["train"].rows)
    output = capfd.readouterr()
    why = "12.0 MiB are more than the 2.0 MiB" if seen else "Cannot write binary data"
    assert f"the binned data are not kept for other runs: {why}" in output.err
    assert output.out == "binned data: train not kept\n"
    assert list((small_volume / "cache").glob("*")) == []


def test_unwritable_cache_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """The run continues."""
    (tmp_path / "file").write_text("")
    datasets({"train": training_data()}, PARAMS, BinnedStore(tmp_path / "file" / "cache"))
    output = capfd.readouterr()
    assert "the binned data are not kept for other runs" in output.err
    assert output.out == "binned data: train not kept\n"


def test_concurrent_runs_leave_one_entry_each(tmp_path: Path):
    """Each trains with its own dataset; a later writer finds the entry there."""
    given = {"train": training_data(), "valid": training_data(200)}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: datasets(given, PARAMS, BinnedStore(tmp_path)), range(8)))
    assert {dataset.num_data() for each in found for dataset, _ in each} == {
        len(one.rows) for one in given.values()
    }
    assert len(names(BinnedStore(tmp_path))) == 2
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "params",
    [{"seed": 7}, {"seed": 8, "bin_construct_sample_cnt": 700}, {"min_child_samples": 300, "max_bin": 15}],
)
def test_data_binned_in_batches_is_that_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]
):
    """Also of a sample, which the trees' seed draws, and where rows without a label lie between."""
    monkeypatch.setattr("qlib_shadow_runner.plugins._lightgbm_rows._Rows.batch_size", 300)
    generator = np.random.default_rng(3)
    features = generator.normal(size=(6, 1000)).astype(np.float32)
    features[1, ::3], features[2, ::4], features[3] = 0, np.nan, np.nan
    rows = np.flatnonzero(generator.random(1000) < 0.9)
    data = TrainingData(features, rows, generator.normal(size=len(rows)))
    given = {"objective": "mse", "verbosity": -1, "num_threads": 2, **params}
    table = lightgbm.Dataset(data.table(), label=data.labels, params=given).construct()
    [(batched, _)] = datasets({"train": data}, given, None)
    for name, one in (("table", table), ("batched", batched)):
        one.save_binary(tmp_path / name)
    assert (tmp_path / "table").read_bytes() == (tmp_path / "batched").read_bytes()
    models = [lightgbm.train({**given, "deterministic": True}, one, 3) for one in (table, batched)]
    assert models[0].model_to_string() == models[1].model_to_string()
