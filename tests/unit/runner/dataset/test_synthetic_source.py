"""The synthetic dataset has the same bytes on every machine and a plausible market."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.dataset.synthetic.trading_days import holidays, trading_days
from qlib_shadow_runner.dataset.verification import verify_dataset

if TYPE_CHECKING:
    from pathlib import Path

DEMO = "808737d0648559ff7375f43ae09d24b2392d6eb8860c76fa183a96d4f37116c3"


def test_demo_data_has_a_fixed_fingerprint(tmp_path: Path):
    """On any processor, with any numpy. If this changes on purpose, raise MODEL_VERSION with it."""
    Synthetic().build(tmp_path)
    assert fingerprint(tmp_path) == DEMO


def test_demo_data_is_valid_and_its_benchmark_outside_the_universe(tmp_path: Path):
    """It passes the same verification as every dataset."""
    Synthetic(symbols=20, days=300).build(tmp_path)
    dataset = Dataset(tmp_path)
    assert verify_dataset(tmp_path).files == 21 * 8 + 3
    assert {name: len(spans) for name, spans in dataset.universes.items()} == {"all": 21, "demo": 20}
    assert "^gspc" in dataset.symbols


def test_some_symbols_are_listed_late_or_delisted_early(tmp_path: Path):
    """The demo must include symbols without a complete history."""
    Synthetic().build(tmp_path)
    dataset = Dataset(tmp_path)
    first, last = dataset.calendar[0], dataset.calendar[-1]
    assert any(span.first > first for span in dataset.universes["demo"])
    assert any(span.last < last for span in dataset.universes["demo"])


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"symbols": 61}, {"days": 1511}, {"start": date(2019, 1, 3)}]
)
def test_every_parameter_is_part_of_the_identity(change: dict[str, int]):
    """A version from other parameters is never used."""
    assert Synthetic(**change).identity != Synthetic().identity  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("year", "closed"),
    [
        (
            2022,
            {
                "2022-01-17",
                "2022-02-21",
                "2022-04-15",
                "2022-05-30",
                "2022-06-20",
                "2022-07-04",
                "2022-09-05",
                "2022-11-24",
                "2022-12-26",
            },
        ),
        (
            2024,
            {
                "2024-01-01",
                "2024-01-15",
                "2024-02-19",
                "2024-03-29",
                "2024-05-27",
                "2024-06-19",
                "2024-07-04",
                "2024-09-02",
                "2024-11-28",
                "2024-12-25",
            },
        ),
    ],
)
def test_calendar_has_new_yorks_holidays(year: int, closed: set[str]):
    """As the exchange published them."""
    assert {day.isoformat() for day in holidays(year)} == closed


def test_trading_days_do_not_depend_on_today():
    """The demo of next year is the demo of this year."""
    days = trading_days(date(2019, 1, 2), 1512)
    assert (days[0], days[-1], len(days)) == (date(2019, 1, 2), date(2025, 1, 3), 1512)
