"""Prices are read as Qlib's files have them; what is not there is NaN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.conftest import write_bin
from tests.unit.runner.ledger.written_prices import DAYS, NAN, quotes_of

from qlib_shadow_runner.ledger.quotes import lacks_factors

if TYPE_CHECKING:
    from pathlib import Path


def test_values_are_found_by_day(tmp_path: Path) -> None:
    """Before the first, after the last, in a gap, infinite, of no file, of no instrument: NaN."""
    quotes = quotes_of(tmp_path, close={"AAA": [1, NAN, math.inf, 4]})
    write_bin(tmp_path / "features" / "late" / "close.day.bin", [7.0], start=3)
    found = [quotes.get("close", "AAA", day) for day in range(-1, 5)]
    assert found[1:2] + found[4:5] == [1, 4]
    assert all(math.isnan(found[place]) for place in (0, 2, 3, 5))
    assert [math.isnan(quotes.get("close", "LATE", day)) for day in (2, 3, 4)] == [True, False, True]
    assert math.isnan(quotes.get("open", "AAA", 0))
    assert math.isnan(quotes.get("close", "../AAA", 0))


def test_last_value_is_found_with_its_day(tmp_path: Path) -> None:
    """Over a gap, and not before the first one."""
    quotes = quotes_of(tmp_path, close={"AAA": [NAN, 2, NAN, NAN]})
    assert quotes.last("close", "AAA", 3) == (2, 1)
    assert quotes.last("close", "AAA", 0)[1] == -1
    assert quotes.last("close", "ZZZ", 3)[1] == -1


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00", b"\x00\x00\xc0\x7f\x00\x00\x80\x3f"], ids=["empty", "cut", "NaN"]
)
def test_file_without_a_start_has_no_values(tmp_path: Path, content: bytes) -> None:
    """A dataset is checked elsewhere; nothing is made of such a file."""
    quotes = quotes_of(tmp_path, close={"AAA": [1]})
    (tmp_path / "features" / "aaa" / "close.day.bin").write_bytes(content)
    assert math.isnan(quotes.get("close", "AAA", 0))


def test_devices_of_windows_have_their_folder(tmp_path: Path) -> None:
    """As Qlib names it."""
    quotes = quotes_of(tmp_path, close={"AAA": [1]})
    write_bin(tmp_path / "features" / "_qlib_con" / "close.day.bin", [3.0])
    assert quotes.get("close", "CON", 0) == 3


def test_days_have_indexes(tmp_path: Path) -> None:
    """A day that is no trading day has none."""
    quotes = quotes_of(tmp_path, close={"AAA": [1]})
    assert (quotes.index(DAYS[5]), quotes.has(DAYS[5])) == (5, True)
    weekend = DAYS[5].replace(year=1999)
    assert not quotes.has(weekend)
    with pytest.raises(KeyError):
        quotes.index(weekend)


@pytest.mark.parametrize(
    ("factors", "lacking"),
    [([1, 1, 1], False), ([1, NAN, 1], False), ([1, 1, NAN], True), ([NAN, 1, 1], False)],
    ids=["all", "no close on that day", "a close on that day", "before the span"],
)
def test_missing_factors_are_told(tmp_path: Path, factors: list[float], lacking: bool) -> None:  # noqa: FBT001
    """Only where there is a close, and only in the span."""
    quotes = quotes_of(
        tmp_path, close={"AAA": [1, NAN, 1], "BBB": [1] * 3}, factor={"AAA": factors, "BBB": [1] * 3}
    )
    assert lacks_factors(quotes, ["BBB", "AAA"], DAYS[1], DAYS[2]) is lacking
