"""The synthetic dataset has the same bytes on every machine and a plausible market."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.dataset.synthetic.trading_days import holidays, trading_days
from qlib_shadow_runner.dataset.verification import verify_dataset
from qlib_shadow_runner.errors import StageError

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


def test_a_later_until_adds_days_and_changes_none(tmp_path: Path):
    """So a demo can tell of several nights: what was delivered once is the beginning of what comes later."""
    nights = [date(2020, 6, 30), date(2020, 7, 1), None]
    for number, until in enumerate(nights):
        Synthetic(symbols=30, days=400, until=until).build(tmp_path / str(number))
    first, second, whole = (Dataset(tmp_path / str(number)) for number in range(3))
    assert (len(first.calendar), len(second.calendar), len(whole.calendar)) == (377, 378, 400)
    assert first.calendar[-1] == date(2020, 6, 30)
    for before, after in ((first, second), (second, whole)):
        files = sorted(path for path in before.folder.rglob("*.bin"))
        assert len(files) >= 28 * 8
        for path in files:
            later = (after.folder / path.relative_to(before.folder)).read_bytes()
            assert later.startswith(path.read_bytes())
    assert whole.folder.joinpath("instruments/demo.txt").read_text().count("2020-06-30") == 0


@pytest.mark.parametrize("until", [date(2019, 1, 1), date(2026, 1, 2)])
def test_an_until_outside_of_the_market_is_refused(tmp_path: Path, until: date):
    """The market is finite, and a night that adds nothing would be taken for stale data."""
    with pytest.raises(StageError) as caught:
        Synthetic(until=until).build(tmp_path)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message == (
        f"spec.dataset.source.synthetic.until is {until}, and this market runs from 2019-01-02 to "
        "2025-01-03. Choose a day in it, or more days or years."
    )
    assert list(tmp_path.iterdir()) == []


def test_nights_of_one_market_have_one_feed():
    """What is delivered later judges what was; another length draws another market."""
    nights = [Synthetic(until=until).feed for until in (date(2020, 6, 30), date(2020, 7, 1), None)]
    assert len(set(nights)) == 1
    assert Synthetic(days=1511).feed not in nights


@pytest.mark.parametrize(
    "change",
    [{"until": date(2020, 1, 2)}, {"seed": 8}, {"symbols": 61}, {"days": 1511}, {"start": date(2019, 1, 3)}],
)
def test_every_parameter_is_part_of_the_identity(change: dict[str, int | date]):
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
