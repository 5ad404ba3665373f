"""Column names, types, separators and folders of price files are detected."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qlib_shadow_runner.contract.spec.price_files import Adjust, Duplicates, PricesSpec
from qlib_shadow_runner.dataset.prices.column_roles import map_columns
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from conftest import Converter  # type: ignore[import-not-found]

PLAIN = PricesSpec("inbox", adjust=Adjust.NONE)
HEADERS = {
    "as Yahoo writes them": "Date,Open,High,Low,Close,Adj Close,Volume,Ticker",
    "in angle brackets": "<TICKER>,<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
    "short": "timestamp,sym,o,h,l,c,v,vw",
    "with a nameless index": ",symbol,open,high,low,close,volume",
    "with an index and a date": "Unnamed: 0,date,symbol,open,high,low,close,volume",
    "with a company's name besides": "date,ticker,name,open,high,low,close,volume",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_columns_are_known_by_name(header: str):
    """Every required role is found, and each by one column."""
    mapped = map_columns(header.split(","), {}, "file")
    assert {"date", "symbol", "open", "high", "low", "close", "volume"} <= mapped.keys()
    assert len(set(mapped.values())) == len(mapped)
    assert mapped["symbol"].lower().strip("<>") in {"ticker", "symbol", "sym"}


def test_column_in_the_spec_has_no_other_role():
    """`close: adj close` takes that column away from adj_close."""
    mapped = map_columns(
        ["date", "open", "high", "low", "Adj Close", "volume"], {"close": "adj close"}, "file"
    )
    assert mapped["close"] == "Adj Close"
    assert "adj_close" not in mapped


SECOND_OF_JANUARY: dict[str, list[Any] | pa.Array] = {
    "day": [date(2024, 1, 2)],
    "nanoseconds": pa.array([datetime(2024, 1, 2)], pa.timestamp("ns")),  # noqa: DTZ001 - as files have it
    "seconds": pa.array([datetime(2024, 1, 2)], pa.timestamp("s")),  # noqa: DTZ001
    "midnight in New York": pa.array(
        [datetime(2024, 1, 2, tzinfo=ZoneInfo("America/New_York"))], pa.timestamp("us", "America/New_York")
    ),
    "midnight in Tokyo": pa.array(
        [datetime(2024, 1, 2, tzinfo=ZoneInfo("Asia/Tokyo"))], pa.timestamp("us", "Asia/Tokyo")
    ),
    "midnight in UTC": pa.array([datetime(2024, 1, 2)], pa.timestamp("us", "UTC")),  # noqa: DTZ001
    "number": [20240102],
    "text": ["2024-01-02"],
    "text of digits": ["20240102"],
    "text with slashes": ["2024/01/02"],
    "text with a time": ["2024-01-02 00:00:00-05:00"],
    "text with the time of the close": ["2024-01-02 16:00:00-05:00"],
    "text in Tokyo's time": ["2024-01-02T00:00:00.000+0900"],
    "text in UTC": ["2024-01-02T00:00:00Z"],
    "text of fourteen digits": ["20240102000000"],
    "text with a month's name": ["02-Jan-2024"],
    "text with a month's whole name": ["January 2, 2024"],
    "offset of Tokyo": pa.array([datetime(2024, 1, 1, 15)], pa.timestamp("us", "+09:00")),  # noqa: DTZ001
    "seconds since 1970": [1704153600],
    "thousandths since 1970": ["1704153600000"],
    "billionths since 1970": [1704153600000000000],
    "seconds since 1970 as floats": [1704153600.0],
    "text by number": pa.array(["2024-01-02"]).dictionary_encode(),
    "large text": pa.array(["2024-01-02"], pa.large_string()),
}


def days_of(column: list[Any], convert: Converter, options: PricesSpec | None = None) -> list[str]:
    """Convert one bar with this date and return the calendar."""
    path = convert.place / "AAA.parquet"
    prices = {name: [1.0] for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"date": column, **prices}), path)
    convert(path, options=options)
    return convert.lines("calendars/day.txt")  # type: ignore[no-any-return]


@pytest.mark.parametrize("column", SECOND_OF_JANUARY.values(), ids=SECOND_OF_JANUARY)
def test_date_formats_are_read(column: list[Any], convert: Converter):
    """The day is the day where it was observed."""
    assert days_of(column, convert) == ["2024-01-02"]


IN_TOKYO: dict[str, list[Any] | pa.Array] = {
    "timestamp of UTC": pa.array([datetime(2024, 1, 4, 15)], pa.timestamp("ms", "UTC")),  # noqa: DTZ001
    "timestamp of New York": pa.array([datetime(2024, 1, 4, 15)], pa.timestamp("s", "America/New_York")),  # noqa: DTZ001
    "text of UTC": ["2024-01-04T15:00:00Z"],
    "text of New York": ["2024-01-04 10:00:00-05:00"],
    "seconds": [1704380400],
    "plain text": ["2024-01-05"],
    "plain timestamp": pa.array([datetime(2024, 1, 5)], pa.timestamp("us")),  # noqa: DTZ001
}


TOKYO = PricesSpec("inbox", timezone="Asia/Tokyo")


@pytest.mark.parametrize("column", IN_TOKYO.values(), ids=IN_TOKYO)
def test_instants_are_days_of_the_market_where_the_spec_names_its_zone(column: list[Any], convert: Converter):
    """A Friday in Tokyo is not the Thursday that it still is in UTC; plain days stay as they are."""
    assert days_of(column, convert, TOKYO) == ["2024-01-05"]


WITHOUT_A_ZONE: dict[str, Any] = {
    "timestamp": pa.array([datetime(2024, 1, 4, 15)]),  # noqa: DTZ001 - as files have it
    "text": ["2024-01-04 15:00"],
}


@pytest.mark.parametrize("column", WITHOUT_A_ZONE.values(), ids=WITHOUT_A_ZONE)
def test_time_of_day_without_a_zone_is_refused_beside_a_named_zone(column: Any, convert: Converter):
    """It may be the market's own time or that of UTC."""
    with pytest.raises(StageError, match=r"a time of day without a time zone, and .*\.timezone is given"):
        days_of(column, convert, TOKYO)


@pytest.mark.parametrize(
    "days",
    [("05/01/2024", "15/01/2024"), ("1/5/2024 12:00:00 AM", "1/15/2024 4:00:00 PM")],
    ids=["day", "month"],
)
def test_order_of_day_and_month_is_that_of_the_whole_file(days: tuple[str, str], convert: Converter):
    """One date after the twelfth shows it for all."""
    rows = "".join(f"{day},AAA,1,2,1,2,5\n" for day in days)
    convert(convert.csv("date,symbol,open,high,low,close,volume\n" + rows))
    assert convert.lines("calendars/day.txt") == ["2024-01-05", "2024-01-15"]


@pytest.mark.parametrize(
    "column",
    [[7], [7.0], [Decimal("7.0")], ["7"], pa.array([7], pa.int16()), pa.array([7.0], pa.float32())],
    ids=["int", "float", "decimal", "text", "int16", "float32"],
)
def test_number_formats_are_read(column: list[Any], convert: Converter):
    """Every type of number is accepted."""
    path = convert.place / "AAA.parquet"
    prices = {name: [7.0] for name in ("open", "high", "low", "volume")}
    pq.write_table(pa.table({"date": ["2024-01-02"], "close.price": column, **prices}), path)
    convert(path, options=PLAIN)
    assert convert.field("aaa", "close") == (0, [7.0])


def test_index_of_a_frame_may_be_the_date(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """`to_parquet` of a frame with dates as its index is the most common file."""
    frame = bars("AAA").drop(columns="symbol").set_index("date")
    frame.index.name = None
    convert(convert.parquet(frame, "AAA.parquet", index=True))
    assert len(convert.lines("calendars/day.txt")) == 3


def test_csv_with_semicolons_byte_order_mark_and_windows_line_ends(convert: Converter):
    """Excel's CSV is CSV."""
    convert(
        convert.csv("\ufeffDate;Symbol;Open;High;Low;Close;Volume\r\n2024-01-02;AAA;1;2;1;2;5\r\n"),
        options=PLAIN,
    )
    assert convert.field("aaa", "close") == (0, [2.0])


def test_gzipped_csv_is_read(convert: Converter):
    """Compressed or not makes no difference."""
    path = convert.place / "bars.CSV.gz"
    path.write_bytes(
        gzip.compress(b"date\tsymbol\topen\thigh\tlow\tclose\tvolume\n20240102\tAAA\t1\t2\t1\t2\t5\n")
    )
    convert(path, options=PLAIN)
    assert convert.field("aaa", "close") == (0, [2.0])


def test_quotes_and_unused_columns_are_accepted(convert: Converter):
    """Quoted names with commas and two unused columns of one name are allowed."""
    text = 'date,note,symbol,note,open,high,low,close,volume\n2024-01-02,"a, b",AAA,x,1,2,1,2,5\n'
    convert(convert.csv(text), options=PLAIN)
    assert convert.field("aaa", "close") == (0, [2.0])


def test_ticker_na_is_not_a_missing_value(convert: Converter):
    """In a CSV, NA is a missing price but a valid symbol, which Qlib must be able to load."""
    text = "date,symbol,open,high,low,close,volume\n2024-01-02,NA,NA,2,1,2,5\n2024-01-02,null,1,2,1,2,5\n"
    notes = convert(convert.csv(text), options=PLAIN)
    assert notes.renamed == {"NA": "NA_", "null": "NULL_"}
    assert convert.lines("instruments/all.txt")[0].startswith("NA_\t")
    assert str(convert.field("na_", "open")) == "(0, [nan])"


def test_folder_with_one_file_for_each_symbol(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """The name of the file is the symbol; kinds of files may be mixed, and days are the union."""
    late = bars("X", days=5).drop(columns="symbol").iloc[2:]
    files = [
        convert.parquet(bars("X", days=3).drop(columns="symbol"), "brk.b.parquet"),
        convert.csv(late.to_csv(index=False), "MSFT.csv"),
    ]
    notes = convert(*files)
    assert (notes.files, notes.bars) == (2, 6)
    assert convert.lines("instruments/all.txt") == [
        "BRK.B\t2024-01-02\t2024-01-04",
        "MSFT\t2024-01-04\t2024-01-08",
    ]
    assert convert.field("msft", "close")[0] == 2


def test_folder_with_one_file_for_each_year(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Symbols of several files are joined; the last of two rows stays where that is asked for."""
    first = bars("AAA", days=3)
    second = first.iloc[2:].assign(close=99.0)
    options = PricesSpec("inbox", adjust=Adjust.NONE, duplicates=Duplicates.LAST)
    notes = convert(
        convert.parquet(first, "1.parquet"), convert.parquet(second, "2.parquet"), options=options
    )
    assert convert.field("aaa", "close") == (0, [10.0, 11.0, 99.0])
    assert (notes.duplicates.count, notes.duplicates.examples) == (1, ["AAA 2024-01-04"])


def test_large_file_read_by_columns_gives_the_same_dataset(
    convert: Converter, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """Holding a file whole or not is a matter of memory alone."""
    path = convert.parquet(bars("AAA BBB", days=4))
    convert(path)
    whole = convert.field("bbb", "close")
    monkeypatch.setattr("qlib_shadow_runner.dataset.prices.parquet_files.SMALL", 0)
    convert.out = convert.place / "again"
    convert(path)
    assert convert.field("bbb", "close") == whole
