"""Plain qrun of a file, and the run that it is adopted as, answer with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.adopt.qrun_files import changed

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.dataset.synthetic.write_market import BENCHMARK, UNIVERSE
from qlib_shadow_runner.process.environment import child_environment

if TYPE_CHECKING:
    from pathlib import Path

REPEATABLE = (
    "seed: 7\n            deterministic: true\n            force_col_wise: true\n            num_threads: 2"
)
"""What an adopted run sets, and a file must have for plain qrun to give the same trees."""
SPANS = (("2009-01-05", "2014-12-31"), ("2015-01-05", "2016-12-30"), ("2017-01-03", "2019-12-31"))
FEW = "            num_boost_round: 12\n            min_child_samples: 5\n"


def small_file(bars: Path) -> str:
    """Return a file in the shape of Qlib's examples, for the days of a small market."""
    days = (bars / "calendars" / "day.txt").read_text().split()
    train, valid, test = (days[60], days[189]), (days[192], days[221]), (days[224], days[-2])
    text = changed(
        ('"~/.qlib/qlib_data/cn_data"', str(bars)),
        ("region: cn", "region: us"),
        ("&pool csi300", f"&pool {UNIVERSE}"),
        ("&index SH000300", f"&index {BENCHMARK}"),
        ("limit_threshold: 0.095, ", ""),
        ("topk: 30, n_drop: 3", "topk: 3, n_drop: 1"),
        ("            num_threads: 20\n", f"            {REPEATABLE}\n{FEW}"),
    )
    spans = zip(
        ("2009-01-05", "2015-01-05", "2017-01-03"), ("2014-12-31", "2016-12-30", "2019-12-31"), strict=True
    )
    for (first, last), (begin, end) in zip(spans, (train, valid, test), strict=True):
        text = text.replace(first, begin).replace(last, end)
    return text


def artifacts(folder: Path) -> dict[str, Any]:
    """Return every frame that the recorder in a folder holds, by its name."""
    files = folder.glob("mlruns/*/*/artifacts/**/*.pkl")
    frames = {str(file).rpartition("/artifacts/")[2]: pd.read_pickle(file) for file in files}
    return {name: one for name, one in frames.items() if isinstance(one, pd.DataFrame | pd.Series)}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what plain qrun leaves of a file, and what the adopted run leaves."""
    home = tmp_path_factory.mktemp("answers")
    bars = home / "data" / "qlib" / "qlib_data" / "bars"
    bars.mkdir(parents=True)
    Synthetic(symbols=10, days=260).build(bars)
    (home / "workflow.yaml").write_text(small_file(bars))
    environ = child_environment(os.environ, threads=2, scratch=str(home))
    runner = ["-m", "qlib_shadow_runner"]
    for words in (
        ["-m", "qlib.cli.run", "workflow.yaml"],
        [*runner, "adopt", "workflow.yaml", "--output", "run.yaml"],
        [*runner, "run", "run.yaml", "--data", "data"],
    ):
        done = subprocess.run(
            [sys.executable, *words], cwd=home, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    [folder] = (home / "data" / ARTIFACTS).glob("workflow-*")
    return artifacts(home), artifacts(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("pred.pkl", "label.pkl", "sig_analysis/ic.pkl", "sig_analysis/ric.pkl"),
        *("portfolio_analysis/report_normal_1day.pkl", "portfolio_analysis/port_analysis_1day.pkl"),
    ],
)
def test_adopted_run_has_the_bits_of_plain_qrun(answers: tuple[dict[str, Any], dict[str, Any]], name: str):
    """Predictions, their analysis and the backtest."""
    theirs, ours = (found[name] for found in answers)
    pd.testing.assert_index_equal(theirs.index, ours.index)
    assert len(theirs) > 0
    assert np.asarray(theirs).tobytes() == np.asarray(ours).tobytes()
