"""Prices whose past is another one than in an earlier version of the dataset."""

from __future__ import annotations

from array import array
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.restated import restated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST = date(2024, 1, 1)
PRICES = [100.0, 101.0, 99.0, 102.0, 104.0, 103.0]
NAN = float("nan")


def write(folder: Path, prices: dict[str, list[float]], *, begin: date = FIRST, start: int = 0) -> Dataset:
    """Write the closes of some instruments, from a day of the calendar on."""
    days = start + max(map(len, prices.values()))
    (folder / "calendars").mkdir(parents=True)
    lines = (f"{begin + timedelta(days=number)}\n" for number in range(days))
    (folder / "calendars/day.txt").write_text("".join(lines))
    for symbol, closes in prices.items():
        (folder / "features" / symbol).mkdir(parents=True)
        content = array("f", [start, *closes]).tobytes()
        (folder / "features" / symbol / "close.day.bin").write_bytes(content)
    return Dataset(folder)


@pytest.fixture
def before(tmp_path: Path) -> Dataset:
    """Return the earlier version."""
    return write(tmp_path / "before", {"aaa": PRICES})


CHANGES: dict[str, tuple[Callable[[list[float]], list[float]], bool]] = {
    "a day more": (lambda prices: [*prices, 105.0], False),
    "a new adjustment": (lambda prices: [*(price * 0.97 for price in prices), 105.0], False),
    "one corrected close": (lambda prices: [*prices[:2], 98.0, *prices[3:], 105.0], True),
    "a split that only some days know": (
        lambda prices: [*(price / 2 for price in prices[:3]), *prices[3:]],
        True,
    ),
    "a day that is gone": (lambda prices: [*prices[:2], NAN, *prices[3:]], False),
    "a price of nothing": (lambda prices: [*prices[:2], 0.0, *prices[3:]], True),
    "fewer days": (lambda prices: prices[:3], False),
    "nothing": (lambda _: [], False),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_another_past_is_told_from_a_new_adjustment(before: Dataset, tmp_path: Path, kind: str):
    """By the returns of the days that both have."""
    change, other = CHANGES[kind]
    now = write(tmp_path / "now", {"aaa": change(PRICES), "bbb": [*PRICES, 1.0]})
    assert restated(before, now, ["AAA", "BBB", "CCC"]) == (["AAA"] if other else [])


def test_days_are_compared_by_their_date(before: Dataset, tmp_path: Path):
    """Where the new calendar begins earlier, too."""
    now = write(tmp_path / "now", {"aaa": PRICES}, begin=FIRST - timedelta(days=4), start=4)
    assert restated(before, now, ["AAA"]) == []
    wrong = write(tmp_path / "wrong", {"aaa": PRICES}, begin=FIRST - timedelta(days=4), start=3)
    assert restated(before, wrong, ["AAA"]) == ["AAA"]


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\xc0\x7f" * 4, b"\0\0\x80\x7f" + b"\0\0\x80?" * 5])
def test_a_damaged_file_says_nothing(before: Dataset, tmp_path: Path, content: bytes):
    """It has no day, or a first day that is none."""
    now = write(tmp_path / "now", {"aaa": PRICES})
    (now.folder / "features/aaa/close.day.bin").write_bytes(content)
    assert restated(before, now, ["AAA"]) == []
