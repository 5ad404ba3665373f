"""Errors of price files give file, place and remedy, never a traceback."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.price_files import Adjust, PricesSpec
from qlib_shadow_runner.dataset import compressed
from qlib_shadow_runner.dataset.prices import parquet_files
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process import memory_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Converter  # type: ignore[import-not-found]

HEAD = "date,symbol,open,high,low,close,volume\n"
ROW = "2024-01-02,AAA,1,2,1,2,5\n"

CSV_FAULTS = {
    "nothing in it": ("", "bars.csv is empty."),
    "only a header": (HEAD, "bars.csv has a header and no rows."),
    "no prices": (
        "date,ticker,px\n2024-01-02,A,1\n",
        "has no column for open, high, low, close, volume; its columns are",
    ),
    "how to name columns": (
        "date,ticker,px\n2024-01-02,A,1\n",
        'columns: {open: "…", high: "…", low: "…", close: "…"',
    ),
    "two symbols": (
        "date,symbol,ticker,open,high,low,close,volume\n2024-01-02,A,A,1,1,1,1,1\n",
        'has 2 columns for symbol: "symbol" and "ticker". Choose one: ',
    ),
    "a word as a price": (
        HEAD + ROW + "2024-01-03,AAA,1,2,1,cheap,5\n",
        'has "cheap" in the column "close", line 3',
    ),
    "decimal commas": (
        HEAD.replace(",", ";") + "2024-01-02;AAA;1,5;2;1;2;5\n",
        'has "1,5" in the column "open", line 2, which is not a number. Write decimals with a point',
    ),
    "a date in either order": (
        HEAD + ROW + "01/03/2024,AAA,1,2,1,2,5\n",
        'has "01/03/2024" as the date in line 3; no date of the file shows whether the day or the month',
    ),
    "dates in both orders": (
        HEAD + "13/01/2024,AAA,1,2,1,2,5\n01/14/2024,AAA,1,2,1,2,5\n",
        'has "13/01/2024" as the date in line 2, which is not a date',
    ),
    "a year of two digits": (HEAD + "01/13/24,AAA,1,2,1,2,5\n", 'has "01/13/24" as the date in line 2'),
    "words after a date": (HEAD + "2024-01-02 or so,AAA,1,2,1,2,5\n", "which is not a date"),
    "a time zone by its letters": (HEAD + "2024-01-02 00:00 EST,AAA,1,2,1,2,5\n", "which is not a date"),
    "a day's number": (HEAD + "45293,AAA,1,2,1,2,5\n", 'has "45293" as the date in line 2'),
    "midnights of Tokyo in UTC": (
        HEAD + "2024-01-04 15:00:00+00:00,AAA,1,2,1,2,5\n",
        'has "2024-01-04 15:00:00+00:00" as the date in line 2: an instant, which may be another day',
    ),
    "midnights of Tokyo in UTC, and what to write": (
        HEAD + "2024-01-04T15:00:00Z,AAA,1,2,1,2,5\n",
        "Write the market's time zone, for example spec.dataset.source.prices.timezone: Asia/Tokyo, or plain",
    ),
    "midnights of New York's summer by its winter's clock": (
        HEAD + "2024-07-01 23:00:00-05:00,AAA,1,2,1,2,5\n",
        'has "2024-07-01 23:00:00-05:00" as the date in line 2: an instant',
    ),
    "offsets of two places": (
        HEAD + "2024-01-05 00:00:00+09:00,AAA,1,2,1,2,5\n2024-01-05 00:00:00-05:00,BBB,1,2,1,2,5\n",
        'of several time zones, "2024-01-05 00:00:00-05:00" in line 3 and "2024-01-05 00:00:00+09:00"',
    ),
    "a day that never was": (HEAD + "2024-02-30,AAA,1,2,1,2,5\n", 'has "2024-02-30" as the date in line 2'),
    "no date": (HEAD + ",AAA,1,2,1,2,5\n", 'has "" as the date in line 2'),
    "a date long ago": (
        HEAD + "0204-01-02,AAA,1,2,1,2,5\n",
        "has the date 0204-01-02 in line 2; days lie from 1900",
    ),
    "no symbol": (HEAD + "2024-01-02,,1,2,1,2,5\n", "has a row without a symbol"),
    "a path as a symbol": (
        HEAD + "2024-01-02,../../etc,1,2,1,2,5\n",
        'has the symbol "../../etc"; a symbol is made of',
    ),
    "a long symbol": (HEAD + f"2024-01-02,{'A' * 41},1,2,1,2,5\n", "of 41 letters; 40 is the most"),
    "case alone": (
        HEAD + ROW + "2024-01-02,aaa,1,2,1,2,5\n",
        'has the symbols "AAA" and "aaa", which would both be AAA',
    ),
    "two that become one": (
        HEAD + "2024-01-02,BRK/B,1,2,1,2,5\n2024-01-02,BRK-B,1,2,1,2,5\n",
        'has the symbols "BRK/B" and "BRK-B", which would both be BRK-B',
    ),
    "a day twice": (
        HEAD + ROW + ROW,
        "bars.csv holds 1 row too many, with the symbol and day of another: AAA 2024-01-02.",
    ),
    "a price of zero": (
        HEAD + ROW + "2024-01-03,AAA,0,2,1,2,5\n",
        "has 1 row with an impossible price or volume (zero, negative, infinite): AAA 2024-01-03 (line 3)",
    ),
    "a negative volume": (
        HEAD + "2024-01-02,AAA,1,2,1,2,-5\n",
        "(zero, negative, infinite): AAA 2024-01-02 (line 2)",
    ),
    "only an index": (
        HEAD + "2024-01-02,^GSPC,1,2,1,2,5\n",
        "has no bar of a symbol that can be held: of 1 row, 0 lack",
    ),
    "only days without volume": (HEAD + "2024-01-02,AAA,1,2,1,2,0\n", "0 lack a close, 1 a volume"),
    "a row too short": (
        HEAD + ROW + "2024-01-03,AAA\n",
        "cannot be read as CSV: CSV parse error: Expected 7 columns, got 2",
    ),
    "UTF-16": ("\0d\0a", "is not text in UTF-8"),
    "one line": (
        "x" * 1_100_000,
        "has a first line of more than 1.0 MiB. It must hold the names of the columns",
    ),
    "a million columns": (
        HEAD.strip() + ",a" * 1_000_000 + "\n",
        "has a first line of more than 1.0 MiB. It must hold the names of the columns",
    ),
    "a quote that is never closed": (
        HEAD + '2024-01-02,"AAA,1,2,1,2,5\n' + ROW * 100,
        "cannot be read as CSV: CSV parse error: Expected 7 columns, got 2",
    ),
    "a NUL": (HEAD + ROW + "2024-01-03,A\0A,1,2,1,2,5\n", "is not text in UTF-8"),
}


@pytest.mark.parametrize(("text", "sentence"), CSV_FAULTS.values(), ids=CSV_FAULTS)
def test_csv_errors_give_file_place_and_remedy(text: str, sentence: str, convert: Converter):
    """Every fault of a text file is reported."""
    with pytest.raises(StageError) as caught:
        convert(convert.csv(text))
    assert sentence in caught.value.message
    assert caught.value.message.startswith("bars.csv ")
    assert caught.value.reason is Reason.DATASET_INVALID


PARQUET_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a lost ticker": (
        {"symbol": ["A", None, "B", "C", "D", "E"]},
        "has no symbol in row 2. Every row needs one; pandas reads a ticker such as NA as missing",
    ),
    "a lost date": ({"date": [pd.NaT, *pd.bdate_range("2024", periods=5)]}, "has no date in row 1."),
    "numbers as symbols": (
        {"symbol": [1.0, 2, 3, 4, 5, 6]},
        "has symbols of the type double; write them as text.",
    ),
    "seconds as dates": (
        {"date": range(1704153600, 1704153606)},
        'has "1704153601" as the date in row 2: an instant, which may be another day where it was traded',
    ),
    "minutes that may be thousandths of seconds": (
        {"date": 201901021530},
        'has "201901021530" as the date in row 1, which is not a date',
    ),
    "midnights of Tokyo in UTC": (
        {"date": pd.to_datetime(["2024-01-04 15:00"] * 6, utc=True)},
        "as the date in row 1: an instant, which may be another day where it was traded. Write the market's",
    ),
    "midnights of New York's summer by its winter's clock": (
        {"date": pd.to_datetime(["2024-07-01 23:00-05:00"] * 6)},
        'has "2024-07-01 23:00:00-05:00" as the date in row 1: an instant',
    ),
    "a fraction as a date": (
        {"date": [0.5] * 6},
        "has a date column of the type double, which is not a date.",
    ),
    "words as prices": (
        {"close": ["1", "2", "x", "4", "5", "6"]},
        'has "x" in the column "close", row 3, which is not',
    ),
    "truths as prices": (
        {"close": [True] * 6},
        'has the type bool in the column "close"; numbers are needed there',
    ),
    "an infinite price": (
        {"high": [np.inf, 1, 1, 1, 1, 1]},
        "(zero, negative, infinite): AAA 2024-01-02 (row 1)",
    ),
    "both adjustments": ({"factor": 1.0, "adj_close": 5.0}, "write adjust: factor, or adjust: adj_close"),
    "a factor of zero": ({"factor": 0.0}, "6 bars have factor at zero, below, or infinite."),
}


@pytest.mark.parametrize(("columns", "sentence"), PARQUET_FAULTS.values(), ids=PARQUET_FAULTS)
def test_parquet_errors_give_file_place_and_remedy(
    columns: dict[str, Any], sentence: str, convert: Converter, bars: Callable[..., pd.DataFrame]
):
    """Every fault of a typed file is reported."""
    with pytest.raises(StageError) as caught:
        convert(convert.parquet(bars(**columns)))
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.DATASET_INVALID


def test_incomplete_parquet_file_is_reported(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Half a file says its size and asks for another copy."""
    path = convert.parquet(bars(days=50))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        StageError, match=r"bars.parquet has 1,000 bytes and is not a whole Parquet file \(.*\)\. Copy it"
    ):
        convert(path)


def test_incomplete_gzip_file_is_reported(convert: Converter):
    """The end of a compressed file is missed, wherever it was cut."""
    path = convert.place / "bars.csv.gz"
    path.write_bytes(gzip.compress((HEAD + ROW * 1000).encode())[:-20])
    with pytest.raises(StageError, match=r"bars\.csv\.gz cannot be read as CSV: "):
        convert(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda packed: packed[:-4], "it ends too early"),
        (lambda packed: packed[:-8] + b"\0\0\0\0" + packed[-4:], "incorrect data check"),
        (lambda packed: packed + b"garbage", "something else follows its end"),
        (lambda packed: packed + b"\x1f\0" + packed[2:], "something else follows its end"),
        (gzip.decompress, "it is not compressed as its name says"),
    ],
    ids=["cut in its end", "another checksum", "garbage after it", "a damaged second part", "not packed"],
)
def test_gzip_file_is_read_to_its_very_end(change: Callable[[bytes], bytes], said: str, convert: Converter):
    """With its checksum, its length and each of its parts."""
    path = convert.place / "bars.csv.gz"
    path.write_bytes(change(gzip.compress((HEAD + ROW).encode())))
    with pytest.raises(StageError) as caught:
        convert(path)
    assert caught.value.message.startswith("bars.csv.gz cannot be read as CSV: ")
    assert said in caught.value.message


def test_gzip_file_inside_of_a_gzip_file_is_reported(convert: Converter):
    """Some tools pack what is packed."""
    path = convert.place / "bars.csv.gz"
    path.write_bytes(gzip.compress(gzip.compress((HEAD + ROW).encode())))
    with pytest.raises(StageError, match="is compressed by gzip, once more than its name says"):
        convert(path)


def test_gzip_file_that_unpacks_to_many_times_its_size_is_refused(
    convert: Converter, monkeypatch: pytest.MonkeyPatch
):
    """A megabyte of the same line would become a gigabyte, and take more memory than that."""
    monkeypatch.setattr(compressed, "ALWAYS_ALLOWED", 1 << 20)
    path = convert.place / "bars.csv.gz"
    path.write_bytes(gzip.compress((HEAD + ROW * 100_000).encode()))
    with pytest.raises(StageError) as caught:
        convert(path)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert "bars.csv.gz is not read: it unpacks to more than 1.2 MiB, over 200 times" in caught.value.message


def test_parquet_file_that_claims_many_rows_in_few_bytes_is_refused(
    convert: Converter, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """A value that repeats takes no space in the file, and eight bytes for each row in memory."""
    monkeypatch.setattr(compressed, "ALWAYS_ALLOWED", 1 << 20)
    with pytest.raises(StageError) as caught:
        convert(convert.parquet(bars("AAA", 1).iloc[[0] * 100_000]))
    assert caught.value.reason is Reason.DATASET_INVALID
    assert "bars.parquet claims 100,000 rows: it unpacks to more than " in caught.value.message


def test_parquet_file_with_a_large_description_is_refused(
    convert: Converter, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """It is read as a whole, and takes thirty times its size."""
    monkeypatch.setattr(parquet_files, "LARGEST_FOOTER", 10_000)
    frame = pd.concat([bars(), pd.DataFrame(1.0, range(6), [f"c{number}" for number in range(200)])], axis=1)
    with pytest.raises(StageError, match=r"bars\.parquet describes its columns and row groups in .* KiB"):
        convert(convert.parquet(frame))


def test_parquet_file_that_needs_too_much_memory_is_refused_before_it_is_read(
    convert: Converter, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """Its footer tells how many rows there are."""
    monkeypatch.setattr(memory_limit, "held_memory", lambda: 1000)
    with pytest.raises(
        StageError, match=r"bars\.parquet with 60 rows of about 2\.3 KiB needs more mem"
    ) as caught:
        convert(convert.parquet(bars(days=30)))
    assert caught.value.reason is Reason.OUT_OF_MEMORY


def test_few_rows_that_span_many_days_of_many_symbols_are_refused(
    convert: Converter, monkeypatch: pytest.MonkeyPatch
):
    """A dataset has a place for each day of each symbol, whether there is a bar or not."""
    days = pd.bdate_range("1990-01-01", periods=2000).strftime("%Y-%m-%d")
    rows = [f"{day},AAA,1,2,1,2,5\n" for day in days]
    rows += [f"{day},S{n},1,2,1,2,5\n" for n in range(1000) for day in (days[0], days[-1])]
    monkeypatch.setattr(memory_limit, "held_memory", lambda: 50 << 20)
    with pytest.raises(StageError) as caught:
        convert(convert.csv(HEAD + "".join(rows)))
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert "the dataset of 1,001 symbols over 2,000 days of about 53.5 MiB needs" in caught.value.message


def test_csv_file_with_a_parquet_name_is_reported(convert: Converter):
    """The name decides how a file is read, so a wrong name is reported."""
    with pytest.raises(StageError, match="is not a whole Parquet file"):
        convert(convert.csv(HEAD + ROW, "bars.parquet"))


def test_missing_column_of_the_spec_suggests_a_similar_one(convert: Converter):
    """The nearest column is offered."""
    with pytest.raises(
        StageError, match=r'columns\.close is "Clse", which bars\.csv does not have; did you mean "close"\?'
    ):
        convert(convert.csv(HEAD + ROW), options=PricesSpec("inbox", columns={"close": "Clse"}))


def test_missing_benchmark_suggests_a_similar_symbol(convert: Converter):
    """The nearest symbol is offered."""
    with pytest.raises(StageError, match=r'benchmarks: no file has "AAB"; did you mean "AAA"\?') as caught:
        convert(convert.csv(HEAD + ROW), options=PricesSpec("inbox", benchmarks=("AAB",)))
    assert caught.value.reason is Reason.BENCHMARK_NOT_FOUND


def test_missing_adjustment_column_is_reported(convert: Converter):
    """Asking for adj_close needs such a column."""
    with pytest.raises(StageError, match=r"adjust is adj_close, but no file has such a column"):
        convert(convert.csv(HEAD + ROW), options=PricesSpec("inbox", adjust=Adjust.ADJ_CLOSE))
