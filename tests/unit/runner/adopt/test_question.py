"""A qrun file becomes a template and a run that ask the same question; the report says what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightgbm.basic import _ConfigAliases
from tests.unit.runner.adopt.qrun_files import (
    ENSEMBLE,
    FIT_TIMES,
    HANDLER,
    INSTRUMENTS,
    MODEL,
    PLAIN,
    RECORDS,
    WITH_OWN_FEATURES,
    adopted,
    changed,
    left_out,
    workflow_of,
)

from qlib_shadow_runner.adopt.model import ALIASES, SQUARES
from qlib_shadow_runner.adopt.question import name_for
from qlib_shadow_runner.adopt.report import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

KWARGS = "            loss: mse\n"
BACKTEST = "        start_time: 2017-01-03\n"
STRATEGY = "signal: <PRED>"


def test_plain_file_asks_the_same_question(tmp_path: Path):
    """Arguments stay, classes are ours, and the manifest has what the file fixed."""
    found = adopted(tmp_path)
    assert found.spec == {
        "dataset": {
            "path": "/data/qlib/qlib_data/cn_data_1d",
            "region": "cn",
            "source": {"qlib": {"region": "cn"}},
        },
        "workflow": {
            "configMapRef": {"name": "mine"},
            "market": "csi300",
            "benchmark": "SH000300",
            "segments": {
                "train": ["2009-01-05", "2014-12-31"],
                "valid": ["2015-01-05", "2016-12-30"],
                "test": ["2017-01-03", "2019-12-31"],
            },
        },
    }
    task = workflow_of(found)["task"]
    assert task["model"] == {
        "class": "LGBModel",
        "module_path": "qlib_shadow_runner.plugins.lightgbm",
        "kwargs": {
            "loss": "mse",
            "learning_rate": 0.1,
            "num_leaves": 31,
            "seed": 7,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
        },
    }
    assert task["dataset"]["kwargs"]["handler"]["module_path"] == "qlib_shadow_runner.plugins.handlers"
    config = task["record"][2]["kwargs"]["config"]
    assert config["strategy"]["kwargs"] == {"signal": "<PRED>", "topk": 30, "n_drop": 3}
    exchange = config["backtest"]["exchange_kwargs"]["exchange"]["kwargs"]
    assert (config["backtest"]["account"], exchange["limit_threshold"]) == (50_000_000, 0.095)
    assert (exchange["open_cost"], exchange["close_cost"]) == (0.001, 0.002)
    assert left_out(found) == []


def test_report_names_each_change(tmp_path: Path):
    """With its place in the file."""
    places = {note.place for note in adopted(tmp_path).report.changed}
    assert places >= {
        *("task.model", "task.model.kwargs", "task.model.kwargs.seed", "task.model.kwargs.num_threads"),
        *("task.dataset.kwargs.handler", "task.record", "task.record.PortAnaRecord.config"),
        *("days", "instruments", "benchmark", "qlib_init.provider_uri"),
        "pool, index, handler_kwargs, portfolio",
    }


def model_of(found: Any) -> dict[str, Any]:
    """Return the arguments of the model."""
    arguments: dict[str, Any] = workflow_of(found)["task"]["model"]["kwargs"]
    return arguments


def test_parameters_are_taken_under_each_name_that_lightgbm_has(tmp_path: Path):
    """As LightGBM would read them; its own table has every name of ours."""
    more = "            objective: l2\n            feature_fraction: 0.8\n            n_estimators: 90\n"
    found = model_of(adopted(tmp_path, (KWARGS, more + "            random_state: 11\n")))
    assert {"loss", "colsample_bytree", "num_boost_round"} <= found.keys()
    assert (found["loss"], found["colsample_bytree"], found["num_boost_round"]) == ("mse", 0.8, 90)
    assert found["seed"] == 11


def test_table_of_names_is_lightgbms():
    """Each group of names, whole, with ours for the group."""
    theirs = {frozenset(names) for names in _ConfigAliases._get_all_param_aliases().values()}
    assert {frozenset({name, *names}) for name, names in ALIASES.items()} <= theirs
    assert "regression" in SQUARES


def test_ensemble_is_adopted_with_its_rounds(tmp_path: Path):
    """Qlib calls them epochs there."""
    found = adopted(tmp_path, (MODEL, ENSEMBLE.replace("epochs", "num_iterations")))
    arguments = model_of(found)
    assert arguments["epochs"] == 20
    assert arguments["sample_ratios"] == [0.8, 0.6, 0.4]
    assert "task.model.kwargs.enable_fs" in {note.place for note in found.report.changed}
    assert left_out(found) == []


def test_own_features_are_adopted(tmp_path: Path):
    """With processors that get the days of train, and names alone for those without arguments."""
    steps = """\
    infer_processors:
        - class: RobustZScoreNorm
          kwargs: {fields_group: feature, fit_start_time: 2009-01-05, fit_end_time: 2013-12-31}
        - Fillna
    learn_processors: [DropnaLabel, {class: CSZScoreNorm, kwargs: {fields_group: label}}]
"""
    found = adopted(tmp_path, *WITH_OWN_FEATURES, ("    data_loader:\n", steps + "    data_loader:\n"))
    handler = workflow_of(found)["task"]["dataset"]["kwargs"]["handler"]
    assert (handler["class"], handler["module_path"]) == (
        "DataHandlerLP",
        "qlib_shadow_runner.plugins.handlers",
    )
    first, second = handler["kwargs"]["infer_processors"]
    assert {key: str(value) for key, value in first["kwargs"].items()} == {
        "fields_group": "feature",
        "fit_start_time": "2009-01-05",
        "fit_end_time": "2013-12-31",
    }
    assert second == {"class": "Fillna"}
    assert handler["kwargs"]["learn_processors"][0] == {"class": "DropnaLabel"}
    assert "{{ segments.train[0] }}" in found.template
    assert "2013-12-31" in found.template
    assert left_out(found) == []


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ([(KWARGS, KWARGS + "            metric: auc\n")], ["task.model.kwargs.metric"]),
        ([(KWARGS, KWARGS + "            device: gpu\n")], ["task.model.kwargs.device"]),
        ([("fit_end_time: 2014-12-31", "fit_end_time: 2016-12-30")],
         ["task.dataset.kwargs.handler.kwargs.fit_end_time"]),
        ([("        end_time: 2019-12-31\n        account", "        end_time: 2019-06-28\n        account")],
         ["task.record.PortAnaRecord.config.backtest.end_time"]),
        ([("benchmark: *index", "benchmark: [SH600000, SH600004]")], ["benchmark"]),
        ([("qlib_init:\n", "sys: {path: lib}\nqlib_init:\n    custom_ops: [mine.Op]\n")],
         ["qlib_init.custom_ops", "sys"]),
        ([("min_cost: 5}", "min_cost: 5, volume_threshold: {all: [cum, x]}}")],
         ["task.record.PortAnaRecord.config.backtest.exchange_kwargs.volume_threshold"]),
        ([(RECORDS, RECORDS + "        - {class: MyRecord, module_path: mine}\n")], ["task.record[3]"]),
        ([("                test:", "                live: [2020-01-02, 2020-02-03]\n                test:")],
         ["task.dataset.kwargs.segments.live"]),
    ],
    ids=["a metric", "a device", "a fit to other days", "a shorter backtest", "an average", "own code",
         "a limit of volume", "a fourth record", "a fourth segment"],
)  # fmt: skip
def test_what_a_run_does_not_do_is_left_out_and_said(
    tmp_path: Path, changes: list[tuple[str, str]], places: list[str]
):
    """With its place; the rest is adopted."""
    found = adopted(tmp_path, *changes)
    assert left_out(found) == places
    workflow_of(found)


def test_what_qlib_takes_by_itself_is_written_out(tmp_path: Path):
    """A template states costs, and has all three records."""
    costs = PLAIN[PLAIN.index("            {limit_threshold") : PLAIN.index("task:\n")]
    found = adopted(tmp_path, (costs, "            {deal_price: $open}\n"))
    config = workflow_of(found)["task"]["record"][2]["kwargs"]["config"]
    arguments = config["backtest"]["exchange_kwargs"]["exchange"]["kwargs"]
    written = [arguments[name] for name in ("deal_price", "open_cost", "close_cost", "min_cost")]
    assert written == ["open", 0.0015, 0.0025, 5.0]
    only = adopted(tmp_path, (RECORDS, "    record: {class: SignalRecord}\n"))
    assert [one["class"] for one in workflow_of(only)["task"]["record"]] == [
        "SignalRecord",
        "SigAnaRecord",
        "PortAnaRecord",
    ]
    assert "topk: {{ strategy.topk }}" in only.template
    assert "benchmark" not in only.spec["workflow"]  # type: ignore[operator]


def test_days_of_the_handler_bound_the_segments(tmp_path: Path):
    """Qlib has no rows beyond them."""
    days = "    start_time: 2009-01-05\n    end_time: 2019-12-31\n"
    others = "    start_time: 2010-01-04\n    end_time: '2019-10-31 15:00:00'\n"
    found = adopted(tmp_path, (days, others))
    segments = found.spec["workflow"]["segments"]  # type: ignore[index]
    assert (segments["train"][0], segments["test"][1]) == ("2010-01-04", "2019-10-31")
    assert left_out(found) == ["task.record.PortAnaRecord.config.backtest.end_time"]


@pytest.mark.parametrize(
    ("signal", "again"),
    [("signal: [<MODEL>, <DATASET>]", "<PRED>"), ("model: <MODEL>, dataset: <DATASET>", "<PRED>")],
)
def test_predictions_are_not_made_twice(tmp_path: Path, signal: str, again: str):
    """The strategy takes those that the first record has made."""
    found = adopted(tmp_path, (STRATEGY, signal))
    config = workflow_of(found)["task"]["record"][2]["kwargs"]["config"]
    assert config["strategy"]["kwargs"]["signal"] == again


@pytest.mark.parametrize(
    ("uri", "source", "path"),
    [
        ("~/.qlib/qlib_data/cn_data", {"qlib": {"region": "cn"}}, "cn_data_1d"),
        ("/srv/bars/cn_2026/", {"existing": {}}, "cn_2026"),
        ("~/.qlib/qlib_data/us_data", {"existing": {}}, "us_data"),
        ("{day: /srv/a b, 1min: /srv/c}", {"existing": {}}, "a_b"),
        ("~not-here/..", {"existing": {}}, "my_data"),
    ],
)
def test_provider_becomes_a_source_of_the_dataset(
    tmp_path: Path, uri: str, source: dict[str, object], path: str
):
    """Qlib's public set is fetched, another folder is expected on the volume."""
    found = adopted(tmp_path, ('"~/.qlib/qlib_data/cn_data"', uri))
    assert found.spec["dataset"] == {
        "path": f"/data/qlib/qlib_data/{path}",
        "region": "cn",
        "source": source,
    }


def test_arguments_of_qlib_are_left_out_without_their_values(tmp_path: Path):
    """One of them may be a password; only those that could change a result are said to."""
    more = "qlib_init:\n    redis_password: secret\n    kernels: 8\n    feature_provider: mine.Provider\n"
    found = adopted(tmp_path, ("qlib_init:\n", more))
    assert left_out(found) == ["qlib_init.feature_provider"]
    assert {"qlib_init.redis_password", "qlib_init.kernels"} <= {note.place for note in found.report.changed}
    assert not any("secret" in note.what for note in found.report.changed)


def test_market_and_benchmark_are_kept_where_the_provider_has_them(tmp_path: Path):
    """If its folder is here; else the run says what is missing."""
    data = tmp_path / "bars"
    (data / "instruments").mkdir(parents=True)
    (data / "instruments" / "csi300.txt").touch()
    found = adopted(tmp_path, ('"~/.qlib/qlib_data/cn_data"', str(data)))
    workflow = found.spec["workflow"]
    assert isinstance(workflow, dict)
    assert (workflow["market"], "benchmark" in workflow) == ("csi300", False)
    assert left_out(found) == ["benchmark"]


REFUSED = {
    "a model of another package": (
        [("        class: LGBModel\n        module_path: qlib.contrib.model.gbdt",
          "        class: CatBoostModel\n        module_path: qlib.contrib.model.catboost_model")],
        "the model CatBoostModel",
        "needs the model CatBoostModel, which the image does not have: it needs CatBoost; take LGBM",
    ),
    "a network": (
        [("class: LGBModel", "class: GRU"), ("qlib.contrib.model.gbdt", "qlib.contrib.model.pytorch_gru")],
        "the model GRU",
        "it needs PyTorch",
    ),
    "a model of one's own": (
        [("qlib.contrib.model.gbdt", "mine/model.py")],
        "the model LGBModel",
        "mine/model.py is not Qlib's, and a run imports no code of its user",
    ),
    "another model of Qlib": (
        [("class: LGBModel", "class: HFLGBModel"), ("model.gbdt", "model.highfreq_gdbt_model")],
        "the model HFLGBModel",
        "which a run does not take, although qlib.contrib.model.highfreq_gdbt_model has it",
    ),
    "a series of days": (
        [("class: DatasetH", "class: TSDatasetH")],
        "the dataset TSDatasetH",
        "take DatasetH",
    ),
    "another handler": (
        [(HANDLER, HANDLER.replace("class: Alpha158", "class: HighFreqHandler"))],
        "the handler HighFreqHandler",
        "take Alpha158 or Alpha158vwap",
    ),
    "a handler from a file": (
        [("            handler:\n", "            handler: file:///tmp/x.pkl\n            other:\n")],
        "",
        "task.dataset.kwargs.handler is 'file:///tmp/x.pkl'; it must be a mapping with class",
    ),
    "minutes": (
        [(INSTRUMENTS, INSTRUMENTS + "    freq: {label: day, feature: 1min}\n")],
        "bars of 1min",
        "needs bars of 1min, and a dataset has bars of a day",
    ),
    "a filter": (
        [(INSTRUMENTS, INSTRUMENTS + "    filter_pipe: [{filter_type: NameDFilter}]\n")],
        "filter_pipe",
        "make a market of the instruments that it leaves",
    ),
    "a list of symbols": (
        [(INSTRUMENTS, "    instruments: [SH600000]\n")],
        "a market by its name",
        "instruments is ['SH600000'], and a run takes a market by its name",
    ),
    "a processor of one's own": (
        [(INSTRUMENTS, INSTRUMENTS + "    infer_processors: [{class: Mine, module_path: mine}]\n")],
        "the processor Mine",
        "needs the processor Mine",
    ),
    "another strategy": (
        [("class: TopkDropoutStrategy", "class: EnhancedIndexingStrategy")],
        "the strategy EnhancedIndexingStrategy",
        "take TopkDropoutStrategy",
    ),
    "a nested executor": (
        [("    strategy:\n",
          "    executor: {class: NestedExecutor, module_path: qlib.backtest.executor}\n    strategy:\n")],
        "the executor NestedExecutor",
        "take SimulatorExecutor",
    ),
    "a reweighter": ([("task:\n", "task:\n    reweighter: {class: X}\n")], "a reweighter", "reweighter"),
    "predictions of others": (
        [(STRATEGY, "signal: file:///tmp/x.pkl")],
        "",
        "a run trades on its own predictions",
    ),
    "two names of one": (
        [(KWARGS, KWARGS + "            objective: l2\n")],
        "",
        "has loss twice, the second time as objective",
    ),
    "another loss": (
        [(KWARGS, "            loss: huber\n")],
        "",
        "workflow.task.model.kwargs.loss is 'huber'",
    ),
    "a number out of range": (
        [("num_leaves: 31", "num_leaves: 5000")],
        "",
        "cannot be adopted: workflow.task.model.kwargs.num_leaves is 5000; it must be a whole number from 2",
    ),
    "a seed that is none": (
        [(KWARGS, KWARGS + "            seed: x\n")],
        "",
        "seed is 'x'; it must be a whole",
    ),
    "no valid": (
        [("                valid: [2015-01-05, 2016-12-30]\n", "")],
        "",
        "segments must have train, valid, test",
    ),
    "an open segment": (
        [("test: [2017-01-03, 2019-12-31]", "test: [2017-01-03, null]")],
        "",
        "test[1] is nothing",
    ),
    "overlapping segments": (
        [("valid: [2015-01-05", "valid: [2014-06-02")],
        "",
        "spec.workflow.segments must follow one another",
    ),
    "a feature that knows the future": (
        [*WITH_OWN_FEATURES, ("$close/Ref($close, 5)", "Ref($close, -1)/$close")],
        "",
        "it looks 1 days ahead",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "need", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_refused_with_the_one_thing_that_is_missing(
    tmp_path: Path, changes: list[tuple[str, str]], need: str, sentence: str
):
    """In one sentence."""
    with pytest.raises(RefusedError) as caught:
        adopted(tmp_path, *changes)
    assert caught.value.need == need
    assert sentence in str(caught.value)


def test_text_that_looks_like_a_parameter_or_a_number_stays_text(tmp_path: Path):
    """Nothing of the file becomes Jinja, and what was quoted is quoted."""
    names = [("[MOMENTUM, MEAN10]", "[parameter0, parameter_1]")]
    found = adopted(tmp_path, *WITH_OWN_FEATURES, *names)
    handler = workflow_of(found)["task"]["dataset"]["kwargs"]["handler"]["kwargs"]
    assert handler["data_loader"]["kwargs"]["config"]["feature"][1] == ["parameter0", "parameter_1"]
    assert '"1e3"' in changed((INSTRUMENTS, '    instruments: "1e3"\n'))
    number = adopted(tmp_path, ("pool: &pool csi300", 'pool: &pool "1e3"'))
    assert number.spec["workflow"]["market"] == "1e3"  # type: ignore[index]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("workflow_config_lightgbm_Alpha158", "lightgbm-alpha158"),
        ("My Flow (2)", "my-flow-2"),
        ("workflow", "workflow"),
        ("流", "adopted"),
        ("", "adopted"),
        ("x" * 80, "x" * 40),
    ],
)
def test_run_is_named_after_the_file(stem: str, name: str):
    """As Kubernetes takes names."""
    assert name_for(stem) == name


def test_fit_times_may_be_missing(tmp_path: Path):
    """Qlib's handlers need them only for some processors."""
    assert left_out(adopted(tmp_path, (FIT_TIMES, ""))) == []
