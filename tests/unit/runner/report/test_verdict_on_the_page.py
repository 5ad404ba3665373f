"""What the top of the page and of the summary says of doubtful runs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.bench.report_page.recorded_run import research
from tests.unit.runner.report.pages import read_page
from tests.unit.runner.report.recorded_runs import (
    MODEL,
    Shape,
    artifacts_of,
    calendar,
    correlations,
    dump,
    foreign,
    make_run,
)

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export import export_run
from qlib_shadow_runner.report.make import report_of

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape(days=300, symbols=120)
DOUBTS = (
    "IC 0.9",
    "Suspect look-ahead, and check that no column of the data is known only after its day",
    (
        "The median day has 9 distinct scores among 120 instruments, and 120 of them share theirs with "
        "another: equal scores are ranked by name. On 300 of 300 days this decides who is among the best 20."
    ),
    "The model is a single tree: its best iteration is 1 of 2,",
    (
        "95% of the account was in instruments without a new price for more than 20 days; "
        "S001 had none for 250 days, until the end."
    ),
    (
        "No instrument ends: all 120 are there until the data's last day, where at least 14 endings are "
        "usual in 700 instrument-years."
    ),
    (
        "Data quality: high_low found 2 bars whose high lies below, or whose low lies above, another "
        "price of the day (S001 2023-01-03). Compare these bars with the source;"
    ),
)


@dataclass(frozen=True)
class Shown:
    """The top of the page, and of the summary."""

    headline: str
    box: str
    summary: str


def shown(folder: Path) -> Shown:
    """Export a run and make its page."""
    found = export_run(folder, artifacts_of(folder), "parquet")
    metadata = json.loads((folder / "RUN_METADATA.json").read_text())
    (folder / "RUN_METADATA.json").write_text(
        json.dumps({**metadata, **{name: found[name] for name in ("verdict", "outputs")}})
    )
    page = report_of(folder)
    [headline] = re.findall(r'<p class="verdict \w+">(.*?)</p>', page)
    box = re.search(r'<div class="care"[^>]*id="doubts">(.*?)</div>', page, re.DOTALL)
    summary = (folder / "backtest_summary.md").read_text().partition("## Segments")[0]
    assert found["verdict"] == headline
    assert f"\n## {headline}\n" in summary
    assert page.index('class="verdict') < page.index('class="cards"')
    text = read_page(box[1]).text if box else ""
    return Shown(headline, " ".join(text.split()), summary)


def with_ic(folder: Path, values: np.ndarray) -> None:
    """Let the recorded IC be these values."""
    days = pd.bdate_range("2023-01-02", periods=len(values), name="datetime")
    for name in ("ic", "ric"):
        pd.Series(values, index=days).to_pickle(artifacts_of(folder) / f"sig_analysis/{name}.pkl")


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Return a run with everything to doubt."""
    more = {"market_size": 120, "market_lives": {"ended": 0, "instrument_years": 700.0}}
    asked = {**research(SHAPE), "strategy": {"topk": 20, "n_drop": 2}}
    folder = make_run(tmp_path_factory.mktemp("data"), "doubtful", SHAPE, **asked, **more)
    artifacts = artifacts_of(folder)
    labels = pd.read_pickle(artifacts / "label.pkl")
    levels = labels["LABEL0"].fillna(0.0).groupby(level=0).rank(method="first") * 9 // 121
    scores = levels.to_frame("score")
    scores.to_pickle(artifacts / "pred.pkl")
    for name, method in (("ic", "pearson"), ("ric", "spearman")):
        correlations(scores, labels, method).to_pickle(artifacts / f"sig_analysis/{name}.pkl")
    _one_round(artifacts)
    _frozen(artifacts)
    return shown(folder)


def _one_round(artifacts: Path) -> None:
    text = MODEL.format(names="Column_0 Column_1 Column_2", infos="none none none")
    booster = foreign("lightgbm.basic.Booster", _handle=text, best_iteration=1)
    model = foreign("qlib.contrib.model.gbdt.LGBModel", model=booster)
    dump(artifacts / "params.pkl", model, model, booster)


def _frozen(artifacts: Path) -> None:
    """Hold one instrument whose price stays, from the fiftieth day on, and one that moves."""
    positions, first = {}, None
    for number, day in enumerate(calendar(SHAPE)):
        held = {
            "cash": 1.0,
            "now_account_value": 9.0,
            "S001": {"price": 10.0 if number >= 49 else 10.0 + number, "weight": 0.95},
            "S002": {"price": 10.0 + number, "weight": 0.05},
        }
        positions[day] = foreign("qlib.backtest.position.Position", position=held)
        first = first or positions[day]
        positions[day].__class__ = type(first)
    dump(artifacts / "portfolio_analysis/positions_normal_1day.pkl", positions, first)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt[:30])
def test_doubts_are_in_the_box_on_top_and_in_the_summary(doubtful: Shown, doubt: str):
    """A degenerate model, look-ahead, survivors, frozen holdings and faults of the data."""
    assert doubt in doubtful.box
    assert doubt in doubtful.summary


def test_headline_names_the_doubts(doubtful: Shown):
    """Figures that are too good replace it."""
    assert doubtful.headline == (
        "Too good to be true: suspect look-ahead; doubts: few distinct scores, one round of training, "
        "frozen holdings, only survivors in the data"
    )


def test_noise_of_an_overlapping_label_is_not_beyond_chance(tmp_path: Path):
    """Means over twenty days of noise have a t of 4 if days are taken as independent."""
    shape = replace(SHAPE, days=252, symbols=12)
    shocks = np.random.default_rng(29).normal(size=271)
    values = 0.1 * np.convolve(shocks, np.ones(20) / np.sqrt(20), "valid")
    assert abs(values.mean() / values.std(ddof=1) * np.sqrt(len(values))) > 4
    folder = make_run(tmp_path, "noise", shape, **research(shape), label_horizon_days=20)
    with_ic(folder, values)
    found = shown(folder)
    assert "beyond chance" in found.headline
    assert found.headline.startswith("Nothing here")
    assert "252 days of a 20-day label are 12 independent blocks" in found.summary


def test_model_that_scores_all_alike_is_refused_with_the_reason(tmp_path: Path):
    """No day has an IC then."""
    shape = replace(SHAPE, days=60, symbols=12)
    folder = make_run(tmp_path, "constant", shape, **research(shape))
    artifacts = artifacts_of(folder)
    pd.read_pickle(artifacts / "pred.pkl").assign(score=0.5).to_pickle(artifacts / "pred.pkl")
    with_ic(folder, np.full(60, np.nan))
    with pytest.raises(StageError) as caught:
        export_run(folder, artifacts, "parquet")
    assert caught.value.reason is Reason.OUTPUT_INCOMPLETE
    assert "the model gives every instrument the same score on each day" in caught.value.message


def test_too_few_blocks_have_no_verdict(tmp_path: Path):
    """Half a year of a label of a month."""
    shape = replace(SHAPE, days=126, symbols=12)
    folder = make_run(tmp_path, "short", shape, **research(shape), label_horizon_days=20)
    with_ic(folder, np.random.default_rng(1).normal(0.05, 0.1, 126))
    found = shown(folder)
    assert found.headline == "Too little to judge"
    assert "126 days of a 20-day label are 6 independent blocks, and a verdict needs 10" in found.summary
