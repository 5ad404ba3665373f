"""The followup: outcomes of signals, computed with data that their run did not have."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped]
from tests.unit.runner.catalog.volumes import SYMBOLS, SmallVolume, closes
from tests.unit.runner.conftest import weekdays

from qlib_shadow_runner.analysis.chance import Chance
from qlib_shadow_runner.catalog.track_record import records
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.cli import main

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

DAYS = 60
CALENDAR = weekdays(200, weekdays(1, pd.Timestamp("2026-01-01").date())[0])
END = CALENDAR[DAYS - 1]


@pytest.fixture
def small(tmp_path: Path) -> SmallVolume:
    """Return a volume with one run, and no newer data."""
    volume = SmallVolume(tmp_path / "data")
    volume.add_dataset(DAYS)
    volume.add_run("nightly-1", DAYS, last=30)
    return volume


def followup(small: SmallVolume) -> pd.DataFrame:
    """Bring it up to date, and read it as a user does."""
    update(small.volume)
    path = small.catalog / "followup.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()


def expected(folder: Path, day: date, horizon: int, days: int) -> dict[str, float]:
    """Return the expected figures, computed with another library and none of the tested code."""
    signals = pd.read_parquet(folder / "signals_ranked.parquet")
    today = signals[signals["date"] == day].set_index("instrument")
    place = CALENDAR.index(day) + 1
    prices = {symbol: closes(number, days) for number, symbol in enumerate(SYMBOLS)}
    outcome = pd.Series({symbol: walk[place + horizon] / walk[place] - 1 for symbol, walk in prices.items()})
    pairs = today.assign(outcome=outcome).dropna()
    return {
        "instruments": len(pairs),
        "ic": pearsonr(pairs["score"], pairs["outcome"]).statistic,
        "rank_ic": spearmanr(pairs["score"], pairs["outcome"]).statistic,
        "top_return": pairs[pairs["rank"] <= 5]["outcome"].mean(),
        "all_return": pairs["outcome"].mean(),
    }


def test_no_outcome_before_newer_data(small: SmallVolume):
    """The run's report covers what its data has."""
    assert followup(small).empty


def test_days_are_evaluated_as_data_arrives(small: SmallVolume):
    """Each as soon as its outcome is known, and none that the run already knew."""
    folder = small.data / "artifacts/trading-ops/qlib-shadow/nightly-1"
    judged = []
    for days in (DAYS + 1, DAYS + 2, DAYS + 3, DAYS + 30):
        small.add_dataset(days)
        found = followup(small)
        judged.append(found.groupby("horizon").size().to_dict())
    assert judged == [{1: 1, 5: 1, 20: 1}, {1: 2, 5: 2, 20: 2}, {1: 2, 5: 3, 20: 3}, {1: 2, 5: 6, 20: 21}]
    assert found["dataset_fingerprint"].nunique() == 4
    for row in found.to_dict("records"):
        figures = expected(folder, row["date"], row["horizon"], DAYS + 30)
        assert {name: row[name] for name in figures} == pytest.approx(figures)
        known_on = CALENDAR[CALENDAR.index(row["date"]) + 1 + row["horizon"]]
        assert (row["live"], row["known_on"]) == (row["date"] == END, known_on)
        assert known_on > END


def test_instrument_without_a_price_is_left_out(small: SmallVolume):
    """One symbol has no close on every eleventh day."""
    small.add_dataset(DAYS + 30)
    assert set(followup(small)["instruments"]) == {len(SYMBOLS), len(SYMBOLS) - 1}


def test_csv_signals_are_evaluated_like_parquet(small: SmallVolume):
    """The same signals give the same figures."""
    small.add_run("nightly-2", DAYS, signals_format="csv")
    folder = small.data / "artifacts/trading-ops/qlib-shadow"
    signals = pd.read_csv(folder / "nightly-2" / "signals_ranked.csv", parse_dates=["date"])
    signals.assign(date=signals["date"].dt.date).to_parquet(folder / "nightly-2" / "signals_ranked.parquet")
    small.add_dataset(DAYS + 3)
    found = followup(small)
    for row in found[found["run_id"] == "nightly-2"].to_dict("records"):
        figures = expected(folder / "nightly-2", row["date"], row["horizon"], DAYS + 3)
        assert {name: row[name] for name in figures} == pytest.approx(figures)


def test_outcomes_are_kept(small: SmallVolume):
    """After a correction of the prices, and after the run's folder is gone."""
    small.add_dataset(DAYS + 3)
    before = followup(small)
    shutil.rmtree(small.data / "artifacts/trading-ops/qlib-shadow/nightly-1")
    small.add_dataset(DAYS + 4)
    pd.testing.assert_frame_equal(followup(small), before)


def test_changed_signals_are_evaluated_again(small: SmallVolume):
    """The folder was removed, and the id used again."""
    small.add_dataset(DAYS + 3)
    before = followup(small)
    shutil.rmtree(small.data / "artifacts/trading-ops/qlib-shadow/nightly-1")
    small.add_run("nightly-1", DAYS, last=30, signals_sha256="others")
    after = followup(small)
    assert set(after["signals_sha256"]) == {"others"}
    assert len(after) == len(before)


@pytest.mark.parametrize("source", ["synthetic model=1 seed=7", ""])
def test_data_of_another_kind_is_not_used(small: SmallVolume, source: str):
    """It may be another market under the same name."""
    small.add_dataset(DAYS + 3, source)
    assert followup(small).empty


def test_missing_or_broken_dataset_is_not_used(small: SmallVolume):
    """It is not an error."""
    dataset = small.add_dataset(DAYS + 3)
    (dataset.folder / "calendars" / "day.txt").write_text("soon\n")
    assert followup(small).empty
    shutil.rmtree(dataset.folder)
    assert followup(small).empty


def test_limit_evaluates_only_the_newest_runs(small: SmallVolume):
    """A run updates some at its end; a command updates all."""
    for number in range(2, 6):
        small.add_run(f"nightly-{number}", DAYS + number)
    small.add_dataset(DAYS + 8)
    assert {row["run_id"] for row in update(small.volume, limit=2).followup} == {"nightly-5", "nightly-4"}
    assert {row["run_id"] for row in update(small.volume).followup} == {f"nightly-{n}" for n in range(1, 6)}


def test_track_record_counts_live_days_once(small: SmallVolume):
    """Two runs of one day count with their mean; the cumulative IC is what a chart draws."""
    small.add_run("other-1", DAYS)
    small.add_run("nightly-2", DAYS + 1)
    small.add_dataset(DAYS + 3)
    rows = followup(small)
    [record] = records(update(small.volume).followup)[:1]
    live = rows[rows["live"] & (rows["horizon"] == 1)].groupby("date")["ic"].mean()
    assert (record.horizon, [day.day for day in record.days]) == (1, [END, END + timedelta(days=1)])
    assert [day.runs for day in record.days] == [2, 1]
    assert [day.cumulative_ic for day in record.days] == pytest.approx(list(live.cumsum()))
    assert record.ic == pytest.approx(live.mean())


def test_track_record_counts_how_many_outcomes_overlap():
    """Each night as many as the horizon has days; each week only a few of them."""

    def row(day: date, known_on: date, ic: float) -> dict[str, object]:
        plain = dict.fromkeys(("rank_ic", "top_return", "all_return"), None)
        said = {"live": True, "dataset_path": "/data/us", "horizon": 20, "ic": ic}
        return {**plain, **said, "date": day, "known_on": known_on}

    ics = np.random.default_rng(1).normal(0.05, 0.1, 300)
    days = weekdays(400)
    for step, overlap, blocks in ((1, 20, 15), (5, 4, 15)):
        dates = [(days[place], days[place + 21]) for place in range(0, 300, step)]
        rows = [row(*one, ic) for one, ic in zip(dates, ics, strict=False)]
        [record] = records(rows)
        assert record.chance == Chance.of(ics[: len(rows)], overlap)
        assert record.chance is not None
        assert record.chance.blocks == blocks


def test_followup_command_evaluates_and_sums_up(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """In a table and for programs; before there is anything, in a sentence."""
    words = ["followup", "--data", str(small.data)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("no outcome of the signals in ")
    small.add_dataset(DAYS + 8)
    assert main(words) == 0
    head, *lines, needs = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["HORIZON", "DAYS", "IC", "T", "BLOCKS"]
    assert needs == "T needs 10 blocks: days whose outcomes do not overlap"
    assert [line.split()[:2] for line in lines] == [["1d", "1"], ["5d", "1"]]
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["horizon"], one["days"][0]["day"]) for one in shown] == [(1, str(END)), (5, str(END))]
    assert shown[0]["ic"] == shown[0]["days"][0]["cumulative_ic"]
