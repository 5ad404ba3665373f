"""How long the instruments of a market are in the data, and how many end before the data does."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, FLOAT_BYTES, feature_folder
from qlib_shadow_runner.storage.untrusted import PRICES, open_file

if TYPE_CHECKING:
    from datetime import date

    from qlib_shadow_runner.dataset.qlib_layout import Dataset, ListedSpan
    from qlib_shadow_runner.discovery.market import Market

PAUSE: Final = 20
"""An instrument without a bar on the last days may only be suspended, for up to so many."""
DAYS_A_YEAR: Final = 252


@dataclass(frozen=True)
class Lives:
    """The instruments of a market that end before the data does, and how long all of them are in it."""

    ended: int
    instrument_years: float

    @classmethod
    def of(cls, dataset: Dataset, market: Market, end: date | None = None) -> Lives:
        """Return the lives; an instrument ends where the universe lists it no longer, or has no more bars.

        The data ends where the universe trades no longer: its calendar may go on with an index alone.
        """
        spans: dict[str, list[ListedSpan]] = {symbol: [] for symbol in market.symbols}
        for span in dataset.universes[market.name]:
            if span.symbol in spans:
                spans[span.symbol].append(span)
        last_day = len(dataset.calendar) if end is None else bisect_right(dataset.calendar, end)
        late = last_day - 1 - PAUSE
        ended, days = 0, 0
        for symbol, listed in spans.items():
            last = min(_last_listed(dataset, listed), _last_bar(dataset, symbol))
            ended += last < late
            days += max(0, last + 1 - bisect_left(dataset.calendar, min(span.first for span in listed)))
        return cls(ended, round(days / DAYS_A_YEAR, 1))


def _last_listed(dataset: Dataset, listed: list[ListedSpan]) -> int:
    """Return the index of the last day on which the universe lists an instrument."""
    return bisect_right(dataset.calendar, max(span.last for span in listed)) - 1


def _last_bar(dataset: Dataset, symbol: str) -> int:
    """Return the index of the last close, or of a day before the last ones where these have none."""
    span = dataset.bin_span(symbol)
    if span is None:
        return -1
    wanted = min(PAUSE + 1, span.count)
    name = f"features/{feature_folder(symbol)}/close{BIN_SUFFIX}"
    with open_file(dataset.folder, name, PRICES) as stream:
        stream.seek(-wanted * FLOAT_BYTES, 2)
        closes = struct.unpack(f"<{wanted}f", stream.read(wanted * FLOAT_BYTES))
    quiet = next((number for number, close in enumerate(reversed(closes)) if close > 0), wanted)
    return span.end - 1 - quiet
