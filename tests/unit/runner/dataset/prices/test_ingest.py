"""The conversion of prices: adjustment, benchmarks, and which rows are bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from qlib_shadow_runner.contract.spec.price_files import Adjust, BadRows, PricesSpec
from qlib_shadow_runner.dataset.prices.symbols import clean
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.discovery.benchmark import find_benchmark
from qlib_shadow_runner.discovery.market import find_market

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from conftest import Converter  # type: ignore[import-not-found]

SPLIT = """date,symbol,open,high,low,close,adj_close,volume
2024-01-02,AAA,100,110,90,100,50,1000
2024-01-03,AAA,60,66,54,60,60,2000
"""


def test_split_does_not_change_the_return(convert: Converter):
    """100 before a 2:1 split and 60 after it is a gain of a fifth, not a loss of two fifths."""
    notes = convert(convert.csv(SPLIT))
    assert notes.adjusted_by == Adjust.ADJ_CLOSE
    assert convert.field("aaa", "close") == (0, [1.0, 1.2])
    assert convert.field("aaa", "high") == (0, [1.1, 1.32])
    assert convert.field("aaa", "factor") == (0, [0.01, 0.02])
    assert convert.field("aaa", "volume") == (0, [100000.0, 100000.0])
    start, change = convert.field("aaa", "change")
    assert (start, str(change)) == (0, "[nan, 0.2]")


def test_prices_without_an_adjustment_are_only_scaled(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """With nothing to adjust by, the first close is 1 and the factor says what it was."""
    notes = convert(convert.parquet(bars("AAA")))
    assert notes.adjusted_by == "nothing"
    assert convert.field("aaa", "close") == (0, [1.0, 1.1, 1.2])
    assert convert.field("aaa", "factor") == (0, [0.1, 0.1, 0.1])


def test_adjust_none_keeps_prices_unchanged(convert: Converter):
    """Also where there is something to adjust by."""
    convert(convert.csv(SPLIT), options=PricesSpec("inbox", adjust=Adjust.NONE))
    assert convert.field("aaa", "close") == (0, [100.0, 60.0])


def test_missing_factor_is_carried_over(convert: Converter):
    """The one before it holds on; before the first, the first holds."""
    text = "date,symbol,open,high,low,close,factor,volume\n" + "".join(
        f"2024-01-0{day},{symbol},1,1,1,1,{factor},5\n"
        for symbol, factors in {
            "AAA": ["", "2", "", "4"],
            "BBB": ["", "", "", ""],
            "CCC": ["3", "", "", ""],
        }.items()
        for day, factor in enumerate(factors, 1)
    )
    convert(convert.csv(text))
    assert convert.field("aaa", "close") == (0, [1.0, 1.0, 1.0, 2.0])
    assert convert.field("bbb", "close") == (0, [1.0] * 4)
    assert convert.field("ccc", "factor") == (0, [1.0] * 4)


def test_day_without_volume_or_close_is_not_a_bar(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """A suspended stock has a gap, as in Qlib's own collector; the return reaches over it."""
    frame = bars("AAA BBB", days=5)
    mine = frame["symbol"] == "AAA"
    frame.loc[mine & (frame["close"] == 11), "volume"] = 0
    frame.loc[mine & (frame["close"] == 12), "close"] = np.nan
    notes = convert(convert.parquet(frame), options=PricesSpec("inbox", adjust=Adjust.NONE))
    assert (notes.suspended, notes.without_close) == (1, 1)
    assert str(convert.field("aaa", "close")) == "(0, [10.0, nan, nan, 13.0, 14.0])"
    assert str(convert.field("aaa", "open")) == "(0, [10.0, nan, nan, 10.0, 10.0])"
    assert convert.field("aaa", "change")[1][3] == pytest.approx(0.3)


def test_day_without_any_trade_is_not_a_trading_day(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Vendors that repeat the last price on a holiday do not make it one more day."""
    frame = bars("AAA BBB", days=3)
    frame.loc[frame["close"] == 11, "volume"] = 0
    convert(convert.parquet(frame))
    assert convert.lines("calendars/day.txt") == ["2024-01-02", "2024-01-04"]


def test_symbol_without_a_bar_is_left_out_and_noted(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Nothing is listed that has no prices."""
    frame = bars("DEAD AAA")
    frame.loc[frame["symbol"] == "DEAD", "volume"] = 0
    notes = convert(convert.parquet(frame))
    assert notes.without_bars == ["DEAD"]
    assert [line.split("\t")[0] for line in convert.lines("instruments/all.txt")] == ["AAA"]


def test_bad_rows_are_dropped_on_request(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Dropped, counted, and named."""
    frame = bars("AAA BBB", days=4)
    frame.loc[2, "low"] = -1.0
    notes = convert(
        convert.parquet(frame), options=PricesSpec("inbox", bad_rows=BadRows.DROP, adjust=Adjust.NONE)
    )
    assert (notes.rejected.count, notes.rejected.examples) == (1, ["AAA 2024-01-03 (row 3)"])
    assert str(convert.field("aaa", "close")) == "(0, [10.0, nan, 12.0, 13.0])"


def test_indices_are_benchmarks_and_never_held(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """An index needs no volume; it is in `all`, has prices, and is not in the universe that is held."""
    frame = bars("AAA ^GSPC SPY .DJI")
    frame.loc[frame["symbol"] == "^GSPC", "volume"] = np.nan
    notes = convert(convert.parquet(frame), options=PricesSpec("inbox", benchmarks=("spy",), universe="mine"))
    assert notes.benchmarks == ["SPY", "^DJI", "^GSPC"]
    assert [line.split("\t")[0] for line in convert.lines("instruments/mine.txt")] == ["AAA"]
    dataset = Dataset(convert.out)
    assert find_benchmark(dataset, "auto", "mine").symbol == "^GSPC"
    assert find_market(dataset, "auto")[0] == "mine"


NAMES = {
    "aapl": "AAPL",
    " MSFT ": "MSFT",
    "BRK/B": "BRK-B",
    "BRK B": "BRK-B",
    "NYSE:IBM": "NYSE-IBM",
    ".SPX": "^SPX",
    "NA": "NA_",
    "nan": "NAN_",
    "NULL": "NULL_",
    "000001": "000001",
    "M&M.NS": "M&M.NS",
    "BTC=F": "BTC=F",
    "true": "TRUE",
}


@pytest.mark.parametrize(("original", "name"), NAMES.items())
def test_tickers_are_normalized(original: str, name: str):
    """Tickers are cleaned by rule."""
    assert clean(original.strip(), "file") == name


def test_symbols_with_windows_device_names_get_qlibs_prefix(
    convert: Converter, bars: Callable[..., pd.DataFrame], read_by_qlib: Callable[..., pd.DataFrame]
):
    """PRN and CON are tickers; Qlib keeps them in folders with a prefix."""
    convert(convert.parquet(bars("PRN CON")))
    found = read_by_qlib(convert.out)
    assert sorted(found["instrument"].unique()) == ["CON", "PRN"]
    assert found["$close"].notna().all()
    assert Dataset(convert.out).bin_span("PRN") is not None


def test_same_bars_in_any_order_make_the_same_bytes(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """The order of rows and of symbols leaves no trace."""
    frame = bars("BBB AAA", days=6)
    convert(convert.parquet(frame))
    one = {
        path.relative_to(convert.out): path.read_bytes()
        for path in convert.out.rglob("*.*")
        if path.suffix != ".json"
    }
    convert.out = convert.place / "again"
    convert(convert.parquet(frame.iloc[::-1], "other.parquet"))
    assert one == {
        path.relative_to(convert.out): path.read_bytes()
        for path in convert.out.rglob("*.*")
        if path.suffix != ".json"
    }
