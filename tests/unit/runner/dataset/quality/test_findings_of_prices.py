"""What is found in datasets that are made of price files with the faults of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.dataset.prices.ingest import ingest
from qlib_shadow_runner.dataset.quality.survey import survey
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.dataset.quality.checks import Finding

DAYS = 60


def bars_of(symbol: str, closes: np.ndarray, **columns: Any) -> pd.DataFrame:
    """Return the bars of one symbol on weekdays."""
    days = pd.bdate_range("2000-08-01", periods=len(closes))
    prices = {"open": closes, "high": closes, "low": closes, "close": closes}
    return pd.DataFrame({"date": days, "symbol": symbol, **prices, "volume": 100.0}).assign(**columns)


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    """Convert frames, one file each, and return what is found in the dataset."""

    def found(*frames: pd.DataFrame, **options: Any) -> dict[str, Finding]:
        files = [tmp_path / f"{number}.parquet" for number in range(len(frames))]
        for file, frame in zip(files, frames, strict=True):
            frame.to_parquet(file, index=False)
        (tmp_path / "us").mkdir()
        spec = PricesSpec("inbox", **options)
        ingest(files, [file.name for file in files], tmp_path / "us", spec)
        return {finding.name: finding for finding in survey(tmp_path / "us") if finding.count}

    return found


def falling(by: float, day: int = 43) -> np.ndarray:
    """Return closes that fall once."""
    return np.where(np.arange(DAYS) < day, 53.5, 53.5 * by)


SPLIT_LATER = np.where(np.arange(DAYS) < 55, 0.5, 1.0)
"""The factor of adjusted closes before and after a split of two for one."""


def test_real_fall_in_adjusted_closes_is_no_split(find: Callable[..., dict[str, Finding]]):
    """AAPL fell by 52% on 2000-09-29; its adjusted closes know the splits, and that this was none."""
    closes = falling(25.75 / 53.5)
    assert find(bars_of("AAPL", closes, adj_close=closes * SPLIT_LATER)) == {}


def test_fall_of_a_symbol_without_dividends_is_believed_beside_adjusted_ones(
    find: Callable[..., dict[str, Finding]],
):
    """Its adjusted closes equal its closes, because there was nothing to adjust."""
    one, other = falling(0.5), falling(1)
    assert (
        find(bars_of("AAA", one, adj_close=one), bars_of("BBB", other, adj_close=other * SPLIT_LATER)) == {}
    )


@pytest.mark.parametrize("adj_close", [None, "the close"])
def test_fall_by_half_that_nothing_adjusts_is_a_split(
    adj_close: str | None, find: Callable[..., dict[str, Finding]]
):
    """Also where the adjusted closes of the whole file are only a copy of the closes."""
    closes = falling(0.5)
    columns = {"adj_close": closes} if adj_close else {}
    found = find(bars_of("AAA", closes, **columns))
    assert found["split_jumps"].examples == ["AAA 2000-09-29"]
    assert found["split_jumps"].places == [("AAA", "2000-09-29")]


def test_symbol_without_adjustment_beside_adjusted_ones_is_named(find: Callable[..., dict[str, Finding]]):
    """Its split is one, too; an index needs no adjustment."""
    closes = falling(0.5)
    found = find(
        bars_of("AAA", closes, adj_close=np.nan),
        bars_of("BBB", falling(1), adj_close=falling(1) * SPLIT_LATER),
        bars_of("^GSPC", falling(1)),
    )
    assert found.keys() == {"unadjusted", "split_jumps"}
    assert (found["unadjusted"].count, found["unadjusted"].examples) == (1, ["AAA"])


def test_file_without_the_adjustment_of_others_is_refused_by_name(find: Callable[..., dict[str, Finding]]):
    """Its prices would be raw beside adjusted ones."""
    frames = [bars_of(name, falling(1), adj_close=50.0) for name in ("AAA", "BBB", "CCC")]
    with pytest.raises(
        StageError, match=r"^1\.parquet lacks the column adj_close \(so do 2\.parquet\), and other files have"
    ):
        find(frames[0], *(frame.drop(columns="adj_close") for frame in frames[1:]))


def test_field_without_values_is_found(find: Callable[..., dict[str, Finding]]):
    """Named with the instrument; an index has no volume, and a twentieth may lack."""
    half = np.where(np.arange(DAYS) < 30, np.nan, 1.0)
    few = np.where(np.arange(DAYS) < 3, np.nan, 53.5)
    found = find(
        bars_of("AAA", falling(1), open=np.nan),
        bars_of("BBB", falling(1), high=half * 53.5),
        bars_of("CCC", falling(1), low=few),
        bars_of("^GSPC", falling(1), volume=np.nan),
    )
    assert found.keys() == {"missing_values"}
    assert found["missing_values"].examples == ["AAA open lacks 60 of 60", "BBB high lacks 30 of 60"]


def test_weekends_that_a_time_zone_made_are_found(find: Callable[..., dict[str, Finding]]):
    """Midnights of Tokyo without their zone, in UTC: every Monday became a Sunday."""
    frame = bars_of("7203.T", falling(1))
    found = find(frame.assign(date=frame["date"] - pd.Timedelta(hours=9)))["weekend_days"]
    assert (found.count, found.examples[0]) == (12, "2000-08-06 (Sunday)")
    assert found.places[0] == ("", "2000-08-06")


def test_market_that_trades_on_every_day_has_no_weekend(find: Callable[..., dict[str, Finding]]):
    """Coins do."""
    frame = bars_of("BTC-USD", falling(1))
    assert find(frame.assign(date=pd.date_range("2024-01-01", periods=DAYS))) == {}
