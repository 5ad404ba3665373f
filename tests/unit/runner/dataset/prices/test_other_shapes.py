"""Wide files: two rows of names as yfinance writes them, pandas' pairs, and what must be reshaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conftest import Converter  # type: ignore[import-not-found]

PAGE = Path(__file__).parents[5] / "docs" / "prices.md"
FIELDS = ["Adj Close", "Close", "High", "Low", "Open", "Volume"]


def wide_of(bars: pd.DataFrame, *, symbols_first: bool = False) -> pd.DataFrame:
    """Return bars as `yfinance.download` gives them."""
    named = bars.rename(columns=str.title).assign(**{"Adj Close": bars["close"] / 2})
    wide = named.pivot_table(index="Date", columns="Symbol", values=FIELDS)
    wide.columns.names = ["Price", "Ticker"]
    return wide.swaplevel(axis=1) if symbols_first else wide


WRITERS: Mapping[str, tuple[str, Callable[[pd.DataFrame, Path], None]]] = {
    "CSV": ("wide.csv", lambda wide, path: wide.to_csv(path)),
    "CSV without the names of the levels": (
        "wide.csv",
        lambda wide, path: wide.rename_axis(columns=[None, None]).to_csv(path),  # type: ignore[list-item]
    ),
    "gzipped CSV": ("wide.csv.gz", lambda wide, path: wide.to_csv(path)),
    "Parquet": ("wide.parquet", lambda wide, path: wide.to_parquet(path)),
}


@pytest.mark.parametrize("symbols_first", [False, True], ids=["fields first", "symbols first"])
@pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=WRITERS)
def test_wide_file_gives_the_same_dataset_as_a_long_one(
    name: str,
    write: Callable[[pd.DataFrame, Path], None],
    symbols_first: bool,  # noqa: FBT001 - a parameter of the test
    convert: Converter,
    bars: Callable[..., pd.DataFrame],
):
    """Also for a symbol that is listed late: a day without any of its values is no row."""
    long = bars("AAPL 7203 C", days=4).drop(index=[0, 3])
    convert(convert.parquet(long.assign(adj_close=long["close"] / 2)))
    wanted = {path.relative_to(convert.out): path.read_bytes() for path in convert.out.rglob("*.[bt]*")}
    convert.out = convert.place / "again"
    path = convert.place / name
    write(wide_of(long, symbols_first=symbols_first), path)
    notes = convert(path)
    assert wanted == {
        path.relative_to(convert.out): path.read_bytes() for path in convert.out.rglob("*.[bt]*")
    }
    assert (notes.rows, notes.without_close, notes.adjusted_by) == (10, 0, "adj_close")


def test_wide_file_of_one_symbol_is_read(convert: Converter):
    """What yfinance writes for a single ticker, with dividends beside the bars."""
    convert(
        convert.csv(
            "Price,Close,Dividends,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,,\n"
            "2024-01-02 00:00:00-05:00,185.6,0.24,188.4,183.8,187.1,82488700\n"
        ),
        options=PricesSpec("inbox", columns={"extra": ("dividends",)}),
    )
    assert convert.lines("instruments/all.txt") == ["AAPL\t2024-01-02\t2024-01-02"]
    assert convert.field("aapl", "dividends") == (0, [0.24])


def test_wide_file_can_have_memberships(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """A pair of a universe and a symbol says when the symbol belongs to it."""
    long = bars("AAA BBB", days=3)
    wide = wide_of(long)
    wide["In DJIA", "AAA"] = [True, False, True]
    path = convert.place / "wide.parquet"
    wide.to_parquet(path)
    convert(path, options=PricesSpec("inbox", columns={"universes": ("in_djia",)}))
    days = convert.lines("calendars/day.txt")
    assert convert.lines("instruments/in_djia.txt") == [f"AAA\t{days[n]}\t{days[n]}" for n in (0, 2)]


def test_error_in_a_wide_file_names_line_and_symbol(convert: Converter):
    """The header has three lines."""
    head = "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
    with pytest.raises(StageError, match=r"AAPL 2024-01-02 \(line 4 of AAPL\)"):
        convert(convert.csv(f"{head}2024-01-02,1,1,-1,1,5\n"))


def test_column_that_is_there_twice_is_refused(convert: Converter):
    """One of the two would be left out."""
    head = "Price,Close,High,Low,Open,Volume,Close\nTicker,A,A,A,A,A,A\n"
    with pytest.raises(StageError, match=r"bars\.csv has two columns for Close of A\. Leave one of them"):
        convert(convert.csv(f"{head}2024-01-02,1,1,1,1,5,1\n"))


@pytest.mark.parametrize(
    "header",
    ["date,AAPL,MSFT,TSLA,NVDA,AMD", "date,AAPL_Open,AAPL_High,AAPL_Low,AAPL_Close,AAPL_Volume"],
    ids=["a column for each symbol", "symbol and field in one name"],
)
def test_other_wide_file_is_refused_with_where_reshaping_is_described(header: str, convert: Converter):
    """Prices of one kind are no bars, and a name with a separator may be a symbol."""
    with pytest.raises(
        StageError, match=r"columns for each symbol must be reshaped: see docs/prices\.md, Other"
    ):
        convert(convert.csv(f"{header}\n2024-01-02,1,2,3,4,5\n"))


def test_reshaping_that_the_page_shows_makes_files_that_are_read(
    convert: Converter, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """Each block of Python, on the files that it is for."""
    monkeypatch.chdir(convert.place)
    long = bars("AAPL BRK_B", days=4)
    wide = long.pivot_table(index="date", columns="symbol", values=["open", "high", "low", "close", "volume"])
    names = []
    for field in ("close", "high", "low", "open", "volume"):
        wide[field].to_csv(f"{field}.csv")
        names += [f"{symbol}_{field.title()}" for symbol in ("AAPL", "BRK_B")]
    wide.set_axis(names, axis=1).to_csv("wide.csv")
    long.assign(date=long["date"].dt.strftime("%d/%m/%y")).to_csv("dated.csv", index=False)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        exec(block, {"pd": pd})
        convert.out = convert.place / str(number)
        assert convert(convert.place / "bars.parquet").bars == 8
        assert convert.lines("calendars/day.txt")[0] == "2024-01-02"
    assert len(blocks) == 3


def test_wide_csv_file_with_a_long_first_line_is_read(convert: Converter):
    """It names each symbol five times."""
    fields, symbols = ("Open", "High", "Low", "Close", "Volume"), [f"SYM{n:037}" for n in range(330)]
    lines = [["Ticker", *(symbol for symbol in symbols for _ in fields)], ["Price", *fields * len(symbols)]]
    lines += [["2024-01-02", *["5"] * len(fields) * len(symbols)]]
    first, *_ = text = [",".join(line) for line in lines]
    assert len(first) > 65_536
    assert convert(convert.csv("\n".join(text) + "\n")).bars == len(symbols)
