"""A whole qrun with our classes leaves what Qlib's leave; and the benchmark notices every difference."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from tests.bench.run import __main__ as bench
from tests.bench.run.measure import ARTIFACTS, LUCK, Figures, measure
from tests.bench.run.phases import BACKTEST, BOOSTING, FEATURES, PHASES, Clock
from tests.bench.run.report import scaling, table
from tests.bench.run.workflow import workflow
from tests.unit.runner.plugins.backtest.differences import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.bench.run.workflow import Size, Way

EXAMPLE = {
    "loss": "mse",
    "colsample_bytree": 0.8879,
    "learning_rate": 0.2,
    "subsample": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
    "max_depth": 8,
    "num_leaves": 210,
    "num_threads": 20,
}
"""The model of examples/benchmarks/LightGBM/workflow_config_lightgbm_Alpha158.yaml."""
Found = tuple["Mapping[str, Sequence[Figures]]", list[str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Run plain qrun, and ours twice, once to fill the cache, on a market of a few symbols."""
    options = argparse.Namespace(days=200, boosting=3)
    size = replace(bench.size_of(options, 8), topk=3)
    return bench.compare(
        bench.ways(["threads", "cold", "cached"], 2), size, 1, tmp_path_factory.mktemp("runs")
    )


def test_every_artifact_is_equal(found: Found) -> None:
    """Predictions, labels, correlations, the portfolio's report, positions, indicators."""
    rounds, wrong = found
    assert wrong == []
    report = rounds["cached"][0].left("portfolio_analysis/report_normal_1day.pkl")
    assert (report["turnover"] > 0).sum() > len(report) / 2


def test_other_processor_type_gives_equal_figures_and_orders(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures agree to 1e-12, and the trades are the same: the promise for other machines."""
    rounds, _ = found
    here = rounds["threads"][0]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    (way,) = bench.ways(["cold"], 2)
    size = replace(bench.size_of(argparse.Namespace(days=200, boosting=3), 8), topk=3)
    there = measure(way, size, here.store.parents[2] / "dataset", tmp_path / "run", tmp_path / "cache")
    for logged, value in here.metrics().items():
        assert float(there.metrics()[logged]) == pytest.approx(float(value), rel=1e-12), logged
    positions = "portfolio_analysis/positions_normal_1day.pkl"
    assert list(differences(here.left(positions), there.left(positions))) == []


def test_published_way_equals_qlibs_example(tmp_path: Path) -> None:
    """At full size it equals the example, except for rounds and for what makes a result repeatable."""
    options = argparse.Namespace(days=3777, boosting=130)
    (way,) = bench.ways(["published"], 2)
    asked = workflow(way, bench.size_of(options, 500), tmp_path)
    given = asked["task"]["model"]["kwargs"]
    repeatable = {"seed": 7, "deterministic": True, "force_col_wise": True}
    rounds = {"num_boost_round": 130, "early_stopping_rounds": 130}
    assert given == {**EXAMPLE, **repeatable, **rounds}
    portfolio = asked["task"]["record"][-1]["kwargs"]["config"]["strategy"]["kwargs"]
    assert portfolio == {"signal": "<PRED>", "topk": 50, "n_drop": 5}
    assert "kernels" not in asked["qlib_init"]


def test_phases_and_memory_are_measured(found: Found) -> None:
    """Each phase took some time; a run used at least the memory of a Python process with pandas."""
    rounds, _ = found
    for figures in (rounds["threads"][0], rounds["cached"][0]):
        assert set(figures.phases) == set(PHASES)
        assert min(figures.phases[name] for name in (FEATURES, BOOSTING, BACKTEST)) > 0
        assert figures.peak.all > 50 << 20


def test_tables_have_every_way(found: Found) -> None:
    """As Markdown, for the docs."""
    rounds, _ = found
    lines = table(rounds).splitlines()
    assert lines[0] == "| seconds | threads | cold | cached |"
    assert len(lines) == 2 + len(PHASES) + 8
    assert re.search(r"\| times as fast as threads \| 1\.00 \| \d+\.\d\d \| \d+\.\d\d \|", table(rounds))
    assert len(scaling({"8 symbols": rounds, "9 symbols": rounds}).splitlines()) == 4


def test_difference_is_reported(found: Found, tmp_path: Path) -> None:
    """One run whose predictions are another's labels."""
    rounds, _ = found
    true = rounds["threads"][0]
    home = tmp_path / "1" / "2" / "artifacts"
    (source,) = true.store.glob("*/*/artifacts")
    (home.parent / "metrics").mkdir(parents=True)
    for path in (source.parent / "metrics").iterdir():
        value = "0 0.25 0" if path.name == "IC" else path.read_text()
        (home.parent / "metrics" / path.name).write_text(value)
    for name in ARTIFACTS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes((source / ("label.pkl" if name == "pred.pkl" else name)).read_bytes())
    wrong = list(bench.unlike({"threads": [true], "cold": [replace(true, store=tmp_path)]}))
    assert {line.split("differ in ")[1][:8] for line in wrong} == {"the metr", "pred.pkl"}
    assert any("the metrics[IC]: " in line and "'0.25'" in line for line in wrong)


@pytest.mark.parametrize(
    ("ways", "metric", "differs"),
    [
        (("published", "threads"), "l2.train", False),
        (("threads", "published"), "l2.valid", False),
        (("threads", "cold"), "l2.train", True),
        (("published", "threads"), "IC", True),
        (("threads", "coarse"), "IC", False),
    ],
)
def test_only_equal_requests_are_compared_to_the_last_digit(
    ways: tuple[str, str], metric: str, *, differs: bool
) -> None:
    """Many threads change the sum of LightGBM's loss, and nothing else; fewer bins are another model."""
    values = ("0.9714741037427828", "0.9714741037427898")
    found = {
        way: [cast("Figures", SimpleNamespace(metrics=partial(dict, {metric: value}), left=str))]
        for way, value in zip(ways, values, strict=True)
    }
    assert bool(list(bench.unlike(found))) is differs


def test_time_counts_for_the_innermost_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that the boosting requests do not count as boosting."""
    now = iter(range(100))
    monkeypatch.setattr("tests.bench.run.phases.time.perf_counter", lambda: float(next(now)))
    clock = Clock(began=0.0)
    clock.timed(BOOSTING, clock.timed(FEATURES, lambda: None))()
    seconds = clock.stop()["seconds"]
    assert seconds[FEATURES] == 1
    assert seconds[BOOSTING] == 2
    assert sum(seconds.values()) == 4


def test_failed_run_reports_its_log(tmp_path: Path) -> None:
    """With the end of its log, and the way's name."""
    options = argparse.Namespace(days=200, boosting=3)
    (way,) = bench.ways(["threads"], 1)
    with pytest.raises(RuntimeError, match=r"threads ended with code 1:\n[\s\S]*nowhere"):
        measure(way, bench.size_of(options, 8), tmp_path / "nowhere", tmp_path / "run", tmp_path / "cache")


@pytest.mark.parametrize(("name", "attempts"), [("threads", LUCK), ("cold", 1)])
def test_only_qlibs_own_fault_is_retried(
    name: str, attempts: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its metrics are read while they are written, which ours never are; the number of tries is limited."""
    tried: list[Path] = []

    def unlucky(_way: Way, _size: Size, _dataset: Path, folder: Path, _cache: Path) -> Figures:
        tried.append(folder)
        message = "ValueError: Metric 'Rank ICIR' is malformed. No data found."
        raise RuntimeError(message)

    monkeypatch.setattr("tests.bench.run.measure._once", unlucky)
    (way,) = bench.ways([name], 1)
    size = bench.size_of(argparse.Namespace(days=200, boosting=3), 8)
    with pytest.raises(RuntimeError, match="malformed"):
        measure(way, size, tmp_path, tmp_path / "run", tmp_path)
    assert len(set(tried)) == len(tried) == attempts


@pytest.mark.parametrize(
    "given", [["--ways", "slow"], ["--rounds", "0"], ["--symbols", "3"], ["--days", "many"], ["--cores", "0"]]
)
def test_wrong_argument_is_explained(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It names what is wrong, before anything runs."""
    with pytest.raises(SystemExit) as ended:
        bench.arguments(given)
    assert ended.value.code == 2
    assert re.search(rf"error: argument {given[0]}: invalid .*'{given[1]}'", capsys.readouterr().err)
