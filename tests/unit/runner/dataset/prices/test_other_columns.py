"""Columns besides bars: fields of one's own, universes that change day by day, and what is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.discovery.market import find_market
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from conftest import Converter  # type: ignore[import-not-found]


def with_columns(**columns: Any) -> PricesSpec:
    """Return the options with these columns."""
    return PricesSpec("inbox", columns=columns)


def test_column_of_numbers_becomes_a_field_as_it_is(
    convert: Converter, bars: Callable[..., pd.DataFrame], read_by_qlib: Callable[[Path], pd.DataFrame]
):
    """Neither adjusted nor carried over: a day without a value has none, for Qlib too."""
    frame = bars("AAA BBB", days=3).assign(adj_close=5.0, **{"P/E Ratio": [20.5, -3, np.nan, -4, 21, np.nan]})
    notes = convert(convert.parquet(frame), options=with_columns(extra=("pe_ratio",)))
    assert str(convert.field("aaa", "pe_ratio")) == "(0, [20.5, nan, 21.0])"
    assert str(convert.field("bbb", "pe_ratio")) == "(0, [-3.0, -4.0, nan])"
    assert notes.sentences == []
    found = read_by_qlib(convert.out).set_index(["instrument", "datetime"])
    np.testing.assert_array_equal(found["$pe_ratio"].loc["AAA"], np.array([20.5, np.nan, 21], "f4"))


def test_column_of_only_some_files_is_noted(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """Their symbols have no value."""
    one = bars("A").drop(columns="symbol").assign(pe=7)
    notes = convert(
        convert.parquet(one, "AAA.parquet"),
        convert.csv(one.drop(columns="pe").to_csv(index=False), "BBB.csv"),
        options=with_columns(extra=("pe",)),
    )
    assert notes.sentences == ["files without the column pe (1): BBB.csv"]
    assert str(convert.field("bbb", "pe")) == "(0, [nan, nan, nan])"


def test_unused_columns_are_named(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """What is left out without a word is missed too late; pandas' nameless index is not missed."""
    frame = bars().assign(sector="Energy", pe=7.0)
    notes = convert(convert.csv(frame.to_csv()))
    [sentence] = notes.sentences
    assert sentence == "columns that are not used, unless columns.extra names them (2): pe, sector"


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no such column": (
        {"pe": 1.0},
        {"extra": ("per",)},
        'columns.extra: no file has "per"; did you mean "pe"?',
    ),
    "texts": (
        {"sector": "Energy"},
        {"extra": ("sector",)},
        'bars.csv has "Energy" in the column "sector", line 2, which is not a number',
    ),
    "infinite": (
        {"pe": [1.0, np.inf, 1, 1, 1, 1]},
        {"extra": ("pe",)},
        'bars.csv has inf in the column "pe", line 3, which is more than the dataset can hold',
    ),
    "beyond float32": ({"cap": 1e39}, {"extra": ("cap",)}, 'has 1e+39 in the column "cap", line 2'),
    "two columns of one name": (
        {"P/E": 1.0, "pe": 2.0},
        {"extra": ("pe",)},
        'columns: "pe" fits more than one use or column in bars.csv: "P/E", "pe".',
    ),
    "a field and a universe": (
        {"in_sp": 1},
        {"extra": ("in_sp",), "universes": ("in-sp",)},
        "fits more than one use or column",
    ),
    "no word for yes or no": (
        {"sp": ["yes", "maybe", "", "", "", ""]},
        {"universes": ("sp",)},
        'bars.csv has "maybe" in the column "sp", line 3; whether a symbol belongs to a universe is written',
    ),
    "an empty universe": (
        {"sp": 0},
        {"universes": ("sp",)},
        'columns.universes: no bar of a symbol that can be held is in "sp"',
    ),
}


@pytest.mark.parametrize(("columns", "asked", "sentence"), FAULTS.values(), ids=FAULTS)
def test_columns_that_cannot_be_taken_are_refused(
    columns: dict[str, Any],
    asked: dict[str, Any],
    sentence: str,
    convert: Converter,
    bars: Callable[..., pd.DataFrame],
):
    """With the file, the place, and what to write instead."""
    with pytest.raises(StageError) as caught:
        convert(convert.csv(bars().assign(**columns).to_csv(index=False)), options=with_columns(**asked))
    assert sentence in caught.value.message


YES: dict[str, tuple[Any, Any]] = {
    "numbers": (1, 0),
    "truths": (True, False),
    "words": ("Yes", "no"),
    "texts": ("TRUE", ""),
    "floats": (1.0, np.nan),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("yes", "no"), YES.values(), ids=YES)
def test_membership_becomes_a_universe_with_periods(
    yes: Any, no: Any, kind: str, convert: Converter, bars: Callable[..., pd.DataFrame]
):
    """Left and joined again makes two; a suspended day does not end a period, and an index is never in it."""
    frame = bars("AAA BBB CCC ^GSPC", days=6)
    days = {"AAA": "110011", "BBB": "001000", "CCC": "000000", "^GSPC": "111111"}
    number = frame.groupby("symbol").cumcount()
    inside = [days[symbol][day] == "1" for symbol, day in zip(frame["symbol"], number, strict=True)]
    frame = frame.assign(sp500=[yes if one else no for one in inside])
    frame.loc[(frame["symbol"] == "AAA") & (number == 1), "volume"] = 0
    frame = frame[(frame["symbol"] != "BBB") | (number < 5)]
    path = convert.csv(frame.to_csv(index=False)) if kind == "csv" else convert.parquet(frame)
    convert(path, options=with_columns(universes=("sp500",)))
    day = convert.lines("calendars/day.txt")
    assert convert.lines("instruments/sp500.txt") == [
        f"AAA\t{day[0]}\t{day[0]}",
        f"AAA\t{day[4]}\t{day[5]}",
        f"BBB\t{day[2]}\t{day[2]}",
    ]
    assert len(convert.lines("instruments/tradable.txt")) == 3


def test_suspended_day_does_not_end_a_period(convert: Converter, bars: Callable[..., pd.DataFrame]):
    """A day without a bar says nothing of membership."""
    frame = bars("AAA BBB", days=4).assign(sp500=1)
    frame.loc[2, "volume"] = 0
    convert(convert.parquet(frame), options=with_columns(universes=("sp500",)))
    days = convert.lines("calendars/day.txt")
    assert convert.lines("instruments/sp500.txt")[0] == f"AAA\t{days[0]}\t{days[3]}"


def test_many_short_periods_do_not_make_a_universe_the_largest(
    convert: Converter, bars: Callable[..., pd.DataFrame]
):
    """`auto` counts symbols and days, not lines; the universe is taken where the spec names it."""
    frame = bars("AAA BBB CCC", days=8)
    frame["in_index"] = (frame.groupby("symbol").cumcount() % 2 == 0) & (frame["symbol"] != "CCC")
    convert(convert.parquet(frame), options=with_columns(universes=("in_index",)))
    dataset = Dataset(convert.out)
    assert find_market(dataset, "auto")[0] == "tradable"
    assert find_market(dataset, "in_index")[0] == "in_index"
