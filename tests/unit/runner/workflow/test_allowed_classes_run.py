"""The allow-list: each class exists, each model and feature runs, each cost has an effect."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.workflow.workflow_builders import BUILT_IN, HANDLER, handler, indented, own, preparer

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.process.environment import child_environment
from qlib_shadow_runner.workflow.allowed.features import PROCESSORS
from qlib_shadow_runner.workflow.vetting import CLASSES, GROUPS_OF_CLASSES

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.templates import Template

CHILD = Path(__file__).with_name("qrun_child.py")
ALPHA158 = BUILT_IN[BUILT_IN.index(HANDLER) : BUILT_IN.index("      segments:\n")]
OWN = indented(
    """
    class: DataHandlerLP
    module_path: qlib.data.dataset.handler
    kwargs:
      start_time: {{ segments.train[0] }}
      end_time: {{ segments.test[1] }}
      instruments: {{ instruments | tojson }}
      data_loader:
        class: QlibDataLoader
        kwargs:
          config:
            feature:
              - ["$close/Ref($close, 5)", "Std($close, 10)/$close", "$volume/Mean($volume, 5)"]
              - [A, B, C]
            label: ["Ref($close, -2)/$close - 1"]
      learn_processors:
        - class: DropnaLabel
    """,
    8,
)
SMALL = (ALPHA158, OWN)
MODEL = BUILT_IN[BUILT_IN.index("    class: LGBModel") : BUILT_IN.index("      learning_rate:")]
ENSEMBLE = """    class: DEnsembleModel
    module_path: qlib_shadow_runner.plugins.double_ensemble
    kwargs:
      loss: mse
      num_models: 2
      enable_fs: true
      enable_sr: true
      decay: 0.5
      epochs: 10
"""
PROCESSED = indented(
    """
      infer_processors:
        - {class: DropCol, kwargs: {col_list: [C]}}
        - {class: FilterCol, kwargs: {fields_group: feature, col_list: [A, B, LABEL0]}}
        - {class: ProcessInf}
        - {class: CSZFillna, kwargs: {fields_group: feature}}
        - class: ZScoreNorm
          kwargs: {fields_group: feature, fit_start_time: 2019-03-29, fit_end_time: 2019-06-28}
        - class: MinMaxNorm
          kwargs: {fields_group: feature, fit_start_time: 2019-03-29, fit_end_time: 2019-06-28}
        - class: RobustZScoreNorm
          kwargs: {fields_group: feature, fit_start_time: 2019-03-29, fit_end_time: 2019-06-28}
        - {class: TanhProcess}
        - {class: CSZScoreNorm, kwargs: {fields_group: feature}}
        - {class: Fillna, kwargs: {fields_group: feature}}
      learn_processors:
        - {class: DropnaLabel}
        - {class: CSRankNorm, kwargs: {fields_group: label}}
        - {class: DropnaProcessor, kwargs: {fields_group: label}}
    """,
    10,
)
OWN_PROCESSED = OWN[: OWN.index("          learn_processors")] + PROCESSED
FEW: dict[str, object] = {"model": {"num_boost_round": 15, "num_leaves": 4}}

INSTRUMENTS = "          instruments: {{ instruments | tojson }}\n"
QUICK = (INSTRUMENTS, INSTRUMENTS + "          infer_processors: [{class: ZScoreNorm}, {class: Fillna}]\n")
"""Without Qlib's default for Alpha360, which loops over 360 columns for each day."""
CHOSEN = (
    INSTRUMENTS,
    INSTRUMENTS
    + "          features: {kbar: {}, volume: {windows: [1, 3]}, rolling: {windows: [5], exclude: [CORD]}}\n",
)
NO_ROUNDS = ("      num_boost_round: {{ model.num_boost_round }}\n", "")
NAMED_LABEL = ('label: ["Ref($close, -2)/$close - 1"]', 'label: [["Ref($close, -2)/$close - 1"], [LABEL0]]')
NAMES = "                  - [A, B, C]\n"
UNNAMED = (
    OWN[OWN.index("                  - [") : OWN.index(NAMES) + len(NAMES)],
    """\
                  - $close/Ref($close, 5)
                  - Std($close, 10)/$close
                  - $volume/Mean($volume, 5)
""",
)
ON_ARRAYS = ("module_path: qlib.data.dataset.handler", "module_path: qlib_shadow_runner.plugins.handlers")
TEMPLATES: dict[str, tuple[dict[str, object], Template]] = {
    "plain": ({**FEW, "engine": "qlib"}, own(SMALL)),
    "plain with a backtest on arrays": (FEW, own(SMALL)),
    "plain with fees": ({**FEW, "exchange": {"openCost": 0.01}}, own(SMALL)),
    "plain with slippage": ({**FEW, "exchange": {"impactCost": 0.1}}, own(SMALL)),
    "plain with a least cost": ({**FEW, "exchange": {"minCost": 500_000}}, own(SMALL)),
    "plain on arrays": ({**FEW, "engine": "fast"}, own(SMALL, ON_ARRAYS)),
    "an ensemble": ({}, own(SMALL, (MODEL, ENSEMBLE), NO_ROUNDS, UNNAMED)),
    "every processor": (FEW, own((ALPHA158, OWN_PROCESSED), NAMED_LABEL)),
    "some of Alpha158": ({**FEW, "engine": "qlib"}, own(CHOSEN)),
    "some of Alpha158 on arrays": (FEW, own(CHOSEN)),
    "Alpha158vwap": (FEW, own(handler("qlib.contrib.data.handler.Alpha158vwap"))),
    "Alpha360vwap": (FEW, own(handler("qlib.contrib.data.handler.Alpha360vwap"), QUICK)),
}


@dataclass(frozen=True)
class Figures:
    """The figures of a workflow."""

    predictions: int
    missing: int
    distinct: int
    with_cost: float
    without_cost: float


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    """Train, predict and backtest with every template, on 10 symbols over 300 days, in one process."""
    home = tmp_path_factory.mktemp("allowed")
    folder = home / "data"
    Synthetic(symbols=10, days=300).build(folder)
    prepare = preparer(Dataset(folder))
    files = [home / f"{name}.yaml" for name in TEMPLATES]
    for file, (asked, template) in zip(files, TEMPLATES.values(), strict=True):
        research = prepare({"workflow": asked}, template, provider_uri=str(folder))
        file.write_text(research.workflow.text)
    environ = child_environment({}, threads=2, scratch=str(home))
    command = [sys.executable, str(CHILD), *map(str, files)]
    done = subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Figures(**values) for name, values in found.items()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_allowed_classes_train_predict_and_backtest(figures: dict[str, Figures], name: str):
    """Each model, each set of features and each processor, by qrun's own function."""
    found = figures[name]
    assert found.predictions > 10 * 40
    assert found.missing == 0
    assert found.distinct > 20


def test_every_processor_is_used():
    """One workflow has all of them."""
    assert all(f"class: {name}" in PROCESSED for _, name in PROCESSORS.classes)


@pytest.mark.parametrize("name", ["plain with fees", "plain with slippage", "plain with a least cost"])
def test_costs_reduce_the_return(figures: dict[str, Figures], name: str):
    """Equal predictions with higher costs give a lower return; before costs it is equal."""
    plain, dear = figures["plain"], figures[name]
    assert dear.with_cost < plain.with_cost - 0.001
    assert dear.without_cost == pytest.approx(plain.without_cost, abs=0.05)


@pytest.mark.parametrize("name", ["plain on arrays", "plain with a backtest on arrays"])
def test_figures_on_arrays_equal_qlibs(figures: dict[str, Figures], name: str):
    """By class path, after the same vetting, to the last bit, with features of either engine."""
    assert figures[name] == figures["plain"]


def test_chosen_factors_on_arrays_equal_qlibs(figures: dict[str, Figures]):
    """Factors chosen in a template, computed by either engine."""
    assert figures["some of Alpha158 on arrays"] == figures["some of Alpha158"]


def test_no_allowed_class_starts_processes(tmp_path: Path):
    """A processor that asks for all cores gets one: no copies of the data, and nothing in /dev/shm."""
    code = "import joblib; print(joblib.effective_n_jobs(-1))"
    environ = child_environment({}, threads=2, scratch=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


@pytest.mark.parametrize("named", sorted(CLASSES), ids=".".join)
def test_allowed_class_can_be_imported(named: tuple[str, str]):
    """It takes every argument of the list."""
    cls = getattr(importlib.import_module(named[0]), named[1])
    assert inspect.isclass(cls)
    taken = inspect.signature(cls).parameters
    anything = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    for group in GROUPS_OF_CLASSES:
        if named in group.classes:
            assert anything or set(group.classes[named].fields) <= set(taken)
