"""The days on which a universe trades.

They may be fewer than the calendar's: the calendar has each day on which anything trades, and an index may
begin before the instruments of a universe, or go on alone after them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.discovery.market import Market

FEWEST: Final = 2
"""A ranking needs two instruments."""


@dataclass(frozen=True)
class TradedDays:
    """The days of the calendar from the first to the last on which at least two instruments trade."""

    days: Sequence[date]
    market: str
    last_symbol: str
    """An instrument that trades until the last day, or longer."""
    alone: str | None = None
    """What else has prices on the calendar's last day, if the universe has none there."""

    @property
    def sentence(self) -> str:
        """Return when the universe trades, for messages."""
        found = f"the instruments of {self.market} have prices from {self.days[0]} to {self.days[-1]}"
        return f"{found} ({self.last_symbol} is the last)"

    def count(self, span: tuple[date, date]) -> int:
        """Return how many days of a period are among them."""
        return max(0, bisect_right(self.days, span[1]) - bisect_left(self.days, span[0]))


def traded_days(dataset: Dataset, market: Market) -> TradedDays:
    """Return the days on which a universe trades, or refuse one that never has two prices on one day."""
    calendar = dataset.calendar
    spans = _spans(dataset, market)
    steps = [0] * (len(calendar) + 1)
    for first, last, _ in spans:
        steps[first] += 1
        steps[last + 1] -= 1
    days = [day for day, count in enumerate(accumulate(steps[:-1])) if count >= FEWEST]
    if not days:
        refuse_alone(dataset, market, sorted({symbol for _, _, symbol in spans}))
    last_symbol = min(symbol for first, last, symbol in spans if first <= days[-1] <= last)
    alone = None if days[-1] == len(calendar) - 1 else _goes_on(dataset, market)
    return TradedDays(calendar[days[0] : days[-1] + 1], market.name, last_symbol, alone)


def _spans(dataset: Dataset, market: Market) -> list[tuple[int, int, str]]:
    """Return the first and the last index of each period in which an instrument is listed and has prices."""
    calendar, held, found = dataset.calendar, set(market.symbols), []
    for listed in dataset.universes[market.name]:
        bars = dataset.bin_span(listed.symbol) if listed.symbol in held else None
        if bars is None:
            continue
        first = max(bars.start, bisect_left(calendar, listed.first))
        last = min(bars.end, bisect_right(calendar, listed.last)) - 1
        if first <= last < len(calendar):
            found.append((first, last, listed.symbol))
    return found


def refuse_alone(dataset: Dataset, market: Market, symbols: Sequence[str]) -> None:
    """Refuse a universe in which nothing can be ranked."""
    what = f"has prices of {symbols[0]} alone" if len(symbols) == 1 else "never has two prices on one day"
    raise StageError(
        Reason.MARKET_NOT_FOUND,
        f'market "{market.name}" of {dataset.folder.name} {what if symbols else "has no prices"}. A ranking '
        "needs two instruments or more: deliver more symbols, or choose another spec.workflow.market.",
    )


def _goes_on(dataset: Dataset, market: Market) -> str | None:
    """Return a symbol outside of the universe that has a price on the calendar's last day."""
    others = sorted(set(dataset.symbols.values()) - set(market.symbols))
    spans = ((symbol, dataset.bin_span(symbol)) for symbol in others)
    return next((symbol for symbol, span in spans if span and span.end == len(dataset.calendar)), None)
