"""What the run's dataset adds to the report: the IC over longer horizons, and how large the orders were."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import pandas as pd

from qlib_shadow_runner.analysis.signals import Correlation, rowwise_correlation
from qlib_shadow_runner.catalog.returns import HORIZONS, Closes, read_bars
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.analysis.positions import Trade

VOLUME: Final = "volume"


@dataclass(frozen=True)
class HorizonCorrelation:
    """The daily correlation of the scores with the returns of so many days."""

    horizon: int
    ic: Correlation
    rank_ic: Correlation


@dataclass(frozen=True)
class OrderSizes:
    """The orders' shares of what the market traded in the instrument on that day."""

    orders: int
    median: float
    largest: float
    largest_trade: Trade


def correlations_by_horizon(folder: Path, scores: pd.DataFrame) -> list[HorizonCorrelation]:
    """Return the correlations for each of the catalog's horizons that the dataset's closes reach.

    The scores have a row for each day and a column for each instrument.
    """
    closes = Closes.at(folder, scores.index[0].date(), symbols=list(scores.columns))
    if closes is None:
        return []
    found = []
    days = pd.DatetimeIndex(list(closes.calendar))
    for horizon in HORIZONS:
        table = pd.DataFrame(closes.after(horizon), index=days, columns=list(closes.symbols))
        returns = table.reindex(index=scores.index, columns=scores.columns)
        ic, rank_ic = (
            Correlation.of(rowwise_correlation(scores, returns, ranked=ranked), horizon)
            for ranked in (False, True)
        )
        if ic is not None and rank_ic is not None:
            found.append(HorizonCorrelation(horizon, ic, rank_ic))
    return found


def order_sizes(folder: Path, trades: Sequence[Trade]) -> OrderSizes | None:
    """Return the orders' shares of the day's volume, or None where the dataset has no volume for any."""
    try:
        calendar = Dataset(folder).calendar
    except StageError:
        return None
    shares = [pair for name, some in _by_instrument(trades) for pair in _shares(folder, name, some, calendar)]
    if not shares:
        return None
    largest, trade = max(shares, key=lambda pair: pair[0])
    return OrderSizes(len(shares), median(share for share, _ in shares), largest, trade)


def _by_instrument(trades: Sequence[Trade]) -> list[tuple[str, list[Trade]]]:
    found: defaultdict[str, list[Trade]] = defaultdict(list)
    for trade in trades:
        found[trade.instrument].append(trade)
    return sorted(found.items())


def _shares(
    folder: Path, symbol: str, trades: Sequence[Trade], calendar: Sequence[date]
) -> list[tuple[float, Trade]]:
    """Return each order's share of the volume where there is one; both are adjusted alike."""
    place = {day: number for number, day in enumerate(calendar)}
    volume = read_bars(folder, symbol, VOLUME, len(calendar))
    shares = (
        (abs(one.amount) / volume[place[one.day.date()]], one) for one in trades if one.day.date() in place
    )
    return [(float(share), one) for share, one in shares if share == share]  # noqa: PLR0124 - NaN has no volume
