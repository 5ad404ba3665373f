"""The followup: outcomes of signals, computed with data that their run did not have."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped]
from tests.unit.runner.catalog.volumes import DATASET, FEED, SYMBOLS, SmallVolume, closes, fingerprint_of
from tests.unit.runner.conftest import weekdays

from qlib_shadow_runner.analysis.chance import Chance
from qlib_shadow_runner.catalog.track_record import records
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.dataset.manifest import manifest_path

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
    pairs = today.assign(outcome=outcome).dropna(subset="outcome")
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


OTHERS = tuple(f"J{number:02}" for number in range(30))


def notes(small: SmallVolume, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command says on the side."""
    assert main(["followup", "--data", str(small.data)]) == 0
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("feed", "symbols", "fault"),
    [
        ("prices inbox/jp.parquet", OTHERS, "0 of 30 instruments move as in the run's own data"),
        ("prices inbox/jp.parquet", SYMBOLS, "0 of 30 instruments move as in the run's own data"),
        (FEED, SYMBOLS, "0 of 30 instruments move as in the run's own data"),
    ],
    ids=["other symbols", "same symbols", "same file"],
)
def test_another_market_under_the_same_name_judges_nothing(
    small: SmallVolume, capsys: pytest.CaptureFixture[str], feed: str, symbols: tuple[str, ...], fault: str
):
    """Two manifests without a path share one; the signals of one market say nothing about the other."""
    small.add_dataset(DAYS + 30, feed, symbols=symbols, market=1)
    assert followup(small).empty
    told = notes(small, capsys)
    assert told.startswith("note: the signals of nightly-1 are not judged: us@")
    assert fault in told
    assert "spec.dataset.path" in told


def test_each_market_is_judged_by_its_own_prices(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """The name points at the other market's version, and the own market's next version is beside it."""
    small.add_dataset(DAYS + 30)
    small.add_dataset(DAYS + 31, "prices inbox/jp.parquet", symbols=OTHERS, market=1)
    small.add_run(
        "tokyo-1",
        DAYS + 31,
        dataset_feed="prices inbox/jp.parquet",
        dataset_resolved_path=f"{DATASET}@{fingerprint_of(DAYS + 31, 1)}",
        dataset_fingerprint=fingerprint_of(DAYS + 31, 1),
    )
    small.add_dataset(DAYS + 40, "prices inbox/jp.parquet", market=1)
    found = followup(small)
    assert set(found["dataset_fingerprint"]) == {fingerprint_of(DAYS + 30)}
    folder = small.data / "artifacts/trading-ops/qlib-shadow/nightly-1"
    for row in found.to_dict("records"):
        figures = expected(folder, row["date"], row["horizon"], DAYS + 30)
        assert {name: row[name] for name in figures} == pytest.approx(figures)
    assert "tokyo-1 are not judged" in notes(small, capsys)


def test_a_moved_file_goes_on_as_the_same_market(small: SmallVolume):
    """The prices say so, whatever the file is called now."""
    small.add_dataset(DAYS + 30, "prices inbox/us_2027.parquet")
    assert set(followup(small)["dataset_feed"]) == {FEED}


@pytest.mark.parametrize(
    ("feed", "symbols", "rows"),
    [(FEED, SYMBOLS, 29), (FEED, SYMBOLS[:20], 0), ("prices inbox/jp.parquet", SYMBOLS, 0)],
)
def test_without_the_runs_own_data_feed_and_instruments_decide(
    small: SmallVolume, capsys: pytest.CaptureFixture[str], feed: str, symbols: tuple[str, ...], rows: int
):
    """The version that the run used is removed in time."""
    own = small.volume.locate(f"{DATASET}@{fingerprint_of(DAYS)}")
    small.add_dataset(DAYS + 30, feed, symbols=symbols)
    shutil.rmtree(own)
    manifest_path(own).unlink()
    assert len(followup(small)) == rows
    assert ("not judged" in notes(small, capsys)) is not bool(rows)


def test_outcomes_of_the_wrong_market_are_judged_again(small: SmallVolume):
    """A table of an earlier form says nothing of the feed; it is made again."""
    small.add_dataset(DAYS + 30)
    right = followup(small)
    path = small.catalog / "followup.parquet"
    table = pq.read_table(path)
    wrong = table.drop_columns(["dataset_feed"]).set_column(
        table.schema.get_field_index("ic") - 1, "ic", pa.array([-0.164] * len(table))
    )
    pq.write_table(wrong, path)
    pd.testing.assert_frame_equal(followup(small), right)


def test_signals_that_end_before_the_calendar_are_live(small: SmallVolume):
    """An index that is one day ahead of the stocks is no reason to forget their last day."""
    small.add_run("ahead-1", DAYS + 1, last=10, universe_end=str(END), signals_last=str(END))
    small.add_dataset(DAYS + 10)
    found = followup(small)
    assert set(found[(found["run_id"] == "ahead-1") & found["live"]]["date"]) == {END}


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
        said = {"live": True, "dataset_path": "/data/us", "dataset_feed": None, "horizon": 20, "ic": ic}
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
