"""How many instruments end before the data does, by their listings and by their bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.unit.runner.conftest import write_bin

from qlib_shadow_runner.discovery.lives import Lives
from qlib_shadow_runner.discovery.market import describe_market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.runner.conftest import MakeDataset

    from qlib_shadow_runner.dataset.qlib_layout import Dataset

DAYS = 504


def lives(dataset: Dataset) -> Lives:
    """Return the lives of the universe `all`, without its benchmark."""
    return Lives.of(dataset, describe_market(dataset, "all", "spec", "^GSPC"))


def bars(dataset: Dataset, symbol: str, closes: Sequence[float]) -> None:
    """Give a symbol other bars."""
    write_bin(dataset.folder / "features" / symbol.lower() / "close.day.bin", closes)


def test_nothing_ends_where_all_have_bars_on_the_last_days(make_dataset: MakeDataset):
    """Two instruments of two years each."""
    dataset = make_dataset(DAYS)
    assert lives(dataset) == Lives(ended=0, instrument_years=4.0)
    bars(dataset, "AAA", [1.0] * (DAYS - 15))
    assert lives(dataset).ended == 0, "a suspension is no end"
    for symbol in ("AAA", "BBB"):
        bars(dataset, symbol, [1.0] * (DAYS - 100))
    market = describe_market(dataset, "all", "spec", "^GSPC")
    assert Lives.of(dataset, market, dataset.calendar[DAYS - 101]).ended == 0, "the index goes on alone"


def test_bars_that_stop_are_an_end(make_dataset: MakeDataset):
    """Whether the file ends, or holds NaN from then on."""
    dataset = make_dataset(DAYS)
    bars(dataset, "AAA", [1.0] * (DAYS - 252))
    bars(dataset, "BBB", [1.0] * (DAYS - 252) + [math.nan] * 252)
    found = lives(dataset)
    assert found.ended == 2
    assert found.instrument_years < 4.0


def test_listing_that_stops_is_an_end(make_dataset: MakeDataset):
    """As in a universe whose members change."""
    dataset = make_dataset(DAYS)
    days = dataset.calendar
    rows = [("AAA", days[0], days[251]), ("BBB", days[0], days[-1])]
    text = "".join(f"{name}\t{first}\t{last}\n" for name, first, last in rows)
    (dataset.folder / "instruments" / "all.txt").write_text(text)
    assert lives(type(dataset)(dataset.folder)) == Lives(ended=1, instrument_years=3.0)
