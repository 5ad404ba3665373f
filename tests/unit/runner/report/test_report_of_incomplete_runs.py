"""Short, incomplete and failed runs, and hostile names: the page says what is missing."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.report.pages import Page, read_page
from tests.unit.runner.report.recorded_runs import (
    Shape,
    artifacts_of,
    dump,
    foreign,
    make_run,
    without_tables,
    write_tables,
)

from qlib_shadow_runner.analysis.learning import LearningCurve, read_learning_curve
from qlib_shadow_runner.report.make import report_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = Shape(days=60, symbols=12)
ACCOUNT = "portfolio_analysis/report_normal_1day.pkl"


def without(*names: str) -> Callable[[Path], None]:
    """Lose some artifacts."""

    def lose(artifacts: Path) -> None:
        for name in names:
            (artifacts / name).unlink()

    return lose


def with_account(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    """Change the daily account."""
    return lambda artifacts: change(pd.read_pickle(artifacts / ACCOUNT)).to_pickle(artifacts / ACCOUNT)


def no_correlation(artifacts: Path) -> None:
    """Let no day have one."""
    for name in ("ic", "ric"):
        path = artifacts / f"sig_analysis/{name}.pkl"
        (pd.read_pickle(path) * np.nan).to_pickle(path)


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Lose returns here and there, and the benchmark for a while."""
    table.loc[table.index[5:9], "return"] = np.nan
    table.loc[table.index[20:30], ["bench", "turnover", "value"]] = np.nan
    return table


def assigned(**columns: float | str) -> Callable[[Path], None]:
    """Let whole columns of the account be one value; a trailing underscore is for Python's own words."""
    return with_account(lambda table: table.assign(**{name.rstrip("_"): v for name, v in columns.items()}))


def ruin(table: pd.DataFrame) -> pd.DataFrame:
    """Lose everything on one day."""
    table.loc[table.index[30], "return"] = -1.0
    return table


def endless(table: pd.DataFrame) -> pd.DataFrame:
    """Gain more than there is on one day."""
    table.loc[table.index[30], ["return", "bench"]] = np.inf
    return table


def broken(artifacts: Path) -> None:
    """Leave half a pickle."""
    (artifacts / "pred.pkl").write_bytes(b"\x80\x04junk")


def holding(name: str, value: object) -> Callable[[Path], None]:
    """Let an artifact be a pickle of something else."""

    def write(artifacts: Path) -> None:
        (artifacts / name).write_bytes(pickle.dumps(value))

    return write


def infinite(artifacts: Path) -> None:
    """Make one day's coefficient infinite."""
    table = pd.read_pickle(artifacts / "sig_analysis/ic.pkl")
    table.iloc[5] = np.inf
    table.to_pickle(artifacts / "sig_analysis/ic.pkl")


def twice(artifacts: Path) -> None:
    """Score some instruments of the last day twice."""
    table = pd.read_pickle(artifacts / "pred.pkl")
    pd.concat([table, table.iloc[-3:]]).to_pickle(artifacts / "pred.pkl")


def weightless(artifacts: Path) -> None:
    """Hold something without a weight."""
    held = foreign("qlib.backtest.position.Position", position={"cash": 1.0, "S001": {"amount": 3}})
    dump(artifacts / POSITIONS, {pd.Timestamp("2026-01-01"): held}, held)


def without_amounts(artifacts: Path) -> None:
    """Hold instruments of which only the share of the account is known."""
    held = foreign("qlib.backtest.position.Position", position={"cash": 1.0, "S001": {"weight": 0.5}})
    dump(artifacts / POSITIONS, {pd.Timestamp("2026-01-01"): held}, held)


def unmeasured(artifacts: Path) -> None:
    """Keep no error of the train segment by round."""
    (artifacts.parent / "metrics/l2.train").unlink()


def halved(artifacts: Path) -> None:
    """Cut a metric in the middle of a line."""
    (artifacts.parent / "metrics/l2.valid").write_text("1796060680 0.9 0\n17960606")


POSITIONS = "portfolio_analysis/positions_normal_1day.pkl"
FEW = replace(SMALL, days=5)
ODD = {
    "no benchmark": (SMALL, with_account(lambda table: table.drop(columns="bench")), "The benchmark has no"),
    "a benchmark of nothing": (SMALL, assigned(bench=0.0), "The benchmark has no returns"),
    "no IC": (SMALL, no_correlation, "No day has an information coefficient"),
    "one symbol": (replace(SMALL, symbols=1), no_correlation, "there are no fifths to compare"),
    "few days": (FEW, without(), "5 days are too few for rolling figures"),
    "one day": (FEW, with_account(lambda table: table.iloc[:1]), "1 days are too few for rolling figures"),
    "no return at all": (SMALL, assigned(return_=np.nan), "no day with a return"),
    "nothing bought": (SMALL, assigned(return_=0.0, cost=0.0), "The portfolio never moved"),
    "gaps": (SMALL, with_account(gaps), ""),
    "a ruin": (SMALL, with_account(ruin), ""),
    "no account": (SMALL, without(ACCOUNT), f"{ACCOUNT} is not there"),
    "no scores": (SMALL, without("pred.pkl"), "pred.pkl is not there"),
    "no labels": (SMALL, without("label.pkl"), "label.pkl is not there"),
    "no model": (SMALL, without("params.pkl"), "The model does not say what its features gained"),
    "no positions": (SMALL, without(POSITIONS), f"{POSITIONS} is not there"),
    "a broken pickle": (SMALL, broken, "pred.pkl cannot be read"),
    "scores that are no table": (
        SMALL,
        holding("pred.pkl", {1: 2}),
        "pred.pkl cannot be read (it holds no table, but a dictionary)",
    ),
    "scores of no days": (SMALL, holding("pred.pkl", pd.DataFrame({"score": [1.0]})), "are not days and"),
    "scores of words": (SMALL, holding("label.pkl", pd.Series(["x"])), "label.pkl cannot be read"),
    "scores twice": (SMALL, twice, "pred.pkl cannot be read (it names an instrument twice"),
    "an account that is no table": (SMALL, holding(ACCOUNT, {"a": 1}), f"{ACCOUNT} cannot be read"),
    "an account of words": (SMALL, assigned(turnover="x"), f"{ACCOUNT} cannot be read"),
    "an IC by number": (SMALL, holding("sig_analysis/ic.pkl", pd.Series([0.1])), "its rows are not days"),
    "an infinite IC": (SMALL, infinite, ""),
    "an infinite return": (SMALL, with_account(endless), ""),
    "positions without weights": (
        SMALL,
        weightless,
        f"{POSITIONS} cannot be read (an instrument is held without a weight)",
    ),
    "positions without amounts": (SMALL, without_amounts, "do not say how many shares were held"),
    "no metric by round": (SMALL, unmeasured, "there is no learning curve"),
    "half a metric": (SMALL, halved, "The metrics by round cannot be read"),
    "no IC of train": (SMALL, without("segment_ic.pkl"), "The IC of train and valid is not recorded"),
    "an IC of no segment": (SMALL, holding("segment_ic.pkl", pd.Series([0.1])), "not days and segments"),
    "no dataset": (SMALL, without(), "there is no IC by horizon"),
    "positions that are none": (SMALL, holding(POSITIONS, {1: 3}), f"{POSITIONS} cannot be read"),
    "positions that are a list": (SMALL, holding(POSITIONS, [3]), f"{POSITIONS} cannot be read"),
}


def shown(page: Page) -> str:
    """Return the words of the page without its style, and without what the checklist found amiss."""
    return page.text.partition("Skip to")[2].partition("Golden run:")[0]


@pytest.mark.parametrize(("shape", "corrupt", "says"), ODD.values(), ids=ODD)
def test_page_says_what_is_missing(tmp_path: Path, shape: Shape, corrupt: Callable[[Path], None], says: str):
    """It shows the rest, without invalid numbers."""
    folder = make_run(tmp_path, shape=shape)
    corrupt(artifacts_of(folder))
    write_tables(folder)
    page = read_page(report_of(folder))
    assert says in page.text
    assert not re.search(r"\b(nan|inf|None|NaT)\b", shown(page))
    assert "h2 Identity" in page.outline


def test_run_that_failed_before_training_has_a_page(tmp_path: Path):
    """With its reason, and without empty sections; as has a run that is older than tables."""
    folder = make_run(tmp_path, shape=SMALL, status="failed", reason="TrainingFailed", mlflow_run_id=None)
    without_tables(folder)
    page = read_page(report_of(folder))
    assert "the run is failed: TrainingFailed" in page.text
    assert "Too little to judge" in page.text
    assert "tables are not there: the run is older than its tables, or it ended before" in page.text
    assert "h2 Performance" not in page.outline


def test_page_of_a_running_run_says_only_what_is_known(tmp_path: Path):
    """No checklist of files that come later, and no peak memory of the stage before."""
    folder = make_run(tmp_path, shape=SMALL, status="running", peak_memory_bytes=77 << 20)
    page = read_page(report_of(folder))
    assert "qlib-shadow verify made checks the run" in page.text
    assert not re.search(r"\d+ of \d+ checks", page.text)
    assert "77 MiB" not in page.text


def test_learning_curve_has_the_last_value_of_each_round(tmp_path: Path):
    """A training that was continued trains some rounds twice."""
    for name in ("train", "valid"):
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m" / f"rmse.{name}").write_text("1 0.9 0\n2 0.8 1\n3 0.85 1\n4 0.7 2\n")
    curve = read_learning_curve(tmp_path, "m")
    assert curve == LearningCurve("rmse", [0.9, 0.85, 0.7], [0.9, 0.85, 0.7])


def test_names_of_a_run_are_escaped(tmp_path: Path):
    """Names, notes and caveats come from users, features from templates."""
    evil = "<script>alert(1)</script>"
    more: dict[str, object] = {
        "name": evil,
        "caveats": [evil],
        "dataset_notes": [f"note {evil}"],
        "dataset_source": evil,
    }
    text = report_of(make_run(tmp_path, "made", SMALL, **more))
    assert "<script" not in text
    assert read_page(text).text.count(evil) == 5
    assert "<c>" in read_page(text).text


def test_page_of_the_same_run_has_the_same_bytes(tmp_path: Path):
    """At any time, in any folder."""
    folder = make_run(tmp_path, shape=SMALL)
    assert report_of(folder) == report_of(folder)
