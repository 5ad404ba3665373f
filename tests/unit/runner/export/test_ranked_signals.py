"""Ranked signals: how they are computed, and which predictions and tables are refused."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.conftest import write_bin
from tests.unit.runner.pickles.recorded import tables_of

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export.ranked_signals import (
    encode_signals,
    rank_signals,
    read_signals,
    signals_sha256,
    with_ranks,
)
from qlib_shadow_runner.verify.signals_check import check_signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.tables.layout import Tables
    from qlib_shadow_runner.verify.evidence import Evidence

DAYS = pd.DatetimeIndex(["2024-03-04", "2024-03-05"])
SCORES = {"AAA": 0.25, "BBB": 0.5, "CCC": 0.25, "DDD": -1.0}


def predictions(**changed: float) -> pd.DataFrame:
    """Score four instruments on two days, as qrun leaves it."""
    rows = {(day, name): score for day in DAYS for name, score in {**SCORES, **changed}.items()}
    index = pd.MultiIndex.from_tuples(list(rows), names=["datetime", "instrument"])
    return pd.DataFrame({"score": list(rows.values())}, index=index)


@dataclass
class Home:
    """A run's predictions, its signals, and the dataset."""

    folder: Path
    metadata: dict[str, Any] = field(default_factory=dict)
    tables: Tables | None = None

    def predict(self, found: pd.DataFrame) -> pd.DataFrame:
        """Record predictions and rank them."""
        self.tables = tables_of(predictions=pickle.dumps(found))
        ranked = rank_signals(self.tables)
        self.metadata["signals_sha256"] = signals_sha256(ranked)
        return ranked

    def check(self, table: pd.DataFrame) -> tuple[str | None, str]:
        """Check a table against what is recorded."""
        evidence = SimpleNamespace(
            signals=(table, None), tables=self.tables, metadata=self.metadata, dataset=self.folder
        )
        return check_signals(cast("Evidence", evidence))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a run's folder with a universe."""
    (tmp_path / "instruments").mkdir()
    lines = "".join(f"{name}\t2020-01-01\t2030-01-01\n" for name in [*SCORES, "SPX"])
    (tmp_path / "instruments" / "us.txt").write_text(lines)
    (tmp_path / "calendars").mkdir()
    (tmp_path / "calendars" / "day.txt").write_text("2024-03-04\n2024-03-05\n2024-03-06\n")
    for name in SCORES:
        write_bin(tmp_path / "features" / name.lower() / "close.day.bin", [1.0] * 3)
    segments = {"test": ["2024-03-04", "2024-03-05"]}
    return Home(tmp_path, {"segments": segments, "market": "us", "benchmark": "SPX"})


def test_the_best_is_first_and_equal_scores_are_ordered_by_name(home: Home):
    """Each day is ranked separately; the percentile of the last is just above nothing."""
    table = home.predict(predictions())
    today = table[table["date"] == DAYS[1]]
    assert today["instrument"].tolist() == ["BBB", "AAA", "CCC", "DDD"]
    assert today["rank"].tolist() == [1, 2, 3, 4]
    assert today["percentile"].tolist() == [1.0, 0.75, 0.5, 0.25]
    assert home.check(table) == (None, "8 rows to 2024-03-05")


@pytest.mark.parametrize("name", ["signals_ranked.parquet", "signals_ranked.csv"])
def test_signals_are_read_as_they_were_written(home: Home, name: str):
    """To the last bit, with the run's identity where there is room for it."""
    table = home.predict(predictions(AAA=np.nextafter(0.25, 1), CCC=1e-300))
    path = home.folder / name
    path.write_bytes(encode_signals(table, name, {"run_id": "nightly-1"}))
    found, identity = read_signals(path)
    pd.testing.assert_frame_equal(found, table, check_exact=True)
    assert (identity or {}).get("run_id") == (None if name.endswith("csv") else "nightly-1")
    assert home.check(found)[0] is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (predictions(CCC=np.nan), "gave no score for some instruments"),
        (predictions().iloc[:0], "gave no score for some instruments"),
        (pd.concat([predictions(), predictions(AAA=7).iloc[:1]]), "scored an instrument twice on one day"),
    ],
    ids=["without a score", "nothing", "twice"],
)
def test_predictions_that_cannot_be_ranked_are_refused(home: Home, found: pd.DataFrame, said: str):
    """Rather than exported as signals that a user may believe."""
    with pytest.raises(StageError, match=said) as caught:
        home.predict(found)
    assert caught.value.reason is Reason.OUTPUT_INCOMPLETE


def twice(table: pd.DataFrame) -> pd.DataFrame:
    """Rank one instrument again, at its own place."""
    bare = pd.concat([table.iloc[:1], table]).drop(columns=["rank", "percentile"])
    return with_ranks(bare.reset_index(drop=True))


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "nothing": (lambda table: table.iloc[:0], "it has no rows"),
    "backwards": (lambda table: table.iloc[::-1], "its rows are not sorted by day and rank"),
    "twice": (twice, "it ranks an instrument twice on one day"),
    "ranks": (lambda table: table.assign(rank=table["rank"][::-1].to_numpy()), "its ranks do not follow"),
    "a day less": (lambda table: table[table["date"] == DAYS[0]], "it ends on 2024-03-04, not on 2024-03-05"),
    "a stranger": (lambda table: table.replace("DDD", "ZZZ"), "it ranks zzz, which is not in the universe"),
    "the benchmark": (lambda table: table.replace("DDD", "SPX"), "it ranks the benchmark SPX"),
    "a score": (lambda table: table.replace(0.5, 0.75), "its rows do not follow from the recorder"),
    "an expected return": (
        lambda table: table.assign(expected_return=0.01),
        "its rows do not follow from the recorder",
    ),
    "a percentile": (lambda table: table.replace(0.75, 0.7), "its rows do not follow from the recorder"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_table_that_is_not_the_ranked_predictions_is_refused(home: Home, kind: str):
    """With what is wrong in it."""
    corrupt, said = FAULTS[kind]
    fault, _ = home.check(corrupt(home.predict(predictions())))
    assert fault is not None
    assert said in fault


def test_the_benchmark_and_missing_days_are_refused(home: Home):
    """Though the table be just what the model gave."""
    assert home.check(home.predict(predictions(SPX=3.0)))[0] == "it ranks the benchmark SPX"
    home.metadata["segments"] = {"test": ["2024-03-04", "2024-03-06"]}
    assert home.check(home.predict(predictions()))[0] == "it ends on 2024-03-05, not on 2024-03-06"
