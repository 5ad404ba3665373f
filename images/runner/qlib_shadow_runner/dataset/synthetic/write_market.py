"""Write the made-up market in Qlib's layout, with late listings, delistings and suspended days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.synthetic.market_model import Bars, draw_market, fixed
from qlib_shadow_runner.dataset.synthetic.trading_days import trading_days

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.dataset.synthetic.market_model import Floats

BENCHMARK: Final = "^GSPC"
UNIVERSE: Final = "demo"


@dataclass(frozen=True)
class Listing:
    """The first and last trading day of a symbol, and a suspension in between."""

    symbol: str
    column: int
    """Of the market's arrays."""
    first: int
    last: int
    pause: tuple[int, int]


@dataclass(frozen=True)
class Market:
    """A whole made-up market; which days of it are delivered changes none of its prices."""

    seed: int
    symbols: int
    start: date
    days: int

    @cached_property
    def calendar(self) -> list[date]:
        """Return its trading days."""
        return trading_days(self.start, self.days)


def write_market(folder: Path, market: Market, delivered: int) -> None:
    """Write calendars, instruments and features of a market's first days into an empty folder."""
    rng = np.random.RandomState(market.seed)  # its stream never changes
    calendar = [day.isoformat() for day in market.calendar[:delivered]]
    bars = draw_market(rng, market.symbols, market.days)
    listed = _listings(rng, market.symbols, market.days)
    listings = [replace(one, last=min(one.last, delivered - 1)) for one in listed if one.first < delivered]
    _write_text(folder / "calendars" / "day.txt", calendar)
    spans = [f"{row.symbol}\t{calendar[row.first]}\t{calendar[row.last]}" for row in listings]
    _write_text(folder / "instruments" / f"{UNIVERSE}.txt", spans)
    _write_text(folder / "instruments" / "all.txt", [*spans, f"{BENCHMARK}\t{calendar[0]}\t{calendar[-1]}"])
    for listing in listings:
        _write_symbol(folder, listing, _columns(bars, listing))
    index = _benchmark_columns(bars.index[:delivered])
    _write_symbol(folder, Listing(BENCHMARK, 0, 0, delivered - 1, (0, 0)), index)


def _listings(rng: np.random.RandomState, symbols: int, days: int) -> list[Listing]:
    """Return listings of which 10% start late, 5% end early and 8% are suspended for some days."""
    rows = []
    for number in range(symbols):
        fate = rng.random_sample()
        early, late, length = (
            rng.randint(days // 10, days // 2),
            rng.randint(days // 2, days),
            rng.randint(1, 12),
        )
        first = early if fate < 0.10 else 0  # noqa: PLR2004
        last = late - 1 if 0.10 <= fate < 0.15 else days - 1  # noqa: PLR2004
        pause = (late - length, late) if 0.15 <= fate < 0.23 else (0, 0)  # noqa: PLR2004
        rows.append(Listing(f"SYN{number + 1:03d}", number, first, last, pause))
    return rows


def _columns(bars: Bars, listing: Listing) -> dict[str, Floats]:
    shown, column = slice(listing.first, listing.last + 1), listing.column
    base = bars.close[listing.first, column]
    columns = {
        "open": fixed(bars.opening[shown, column] / base),
        "high": fixed(bars.high[shown, column] / base),
        "low": fixed(bars.low[shown, column] / base),
        "close": fixed(bars.close[shown, column] / base),
        "vwap": fixed(bars.vwap[shown, column] / base),
        "volume": bars.volume[shown, column],
        "factor": bars.factor[shown, column],
    }
    columns["change"] = _change(columns["close"])
    first, last = (edge - listing.first for edge in listing.pause)
    if last > first >= 0:
        for values in columns.values():
            values[first:last] = np.nan
    return columns


def _benchmark_columns(close: Floats) -> dict[str, Floats]:
    flat = np.ones_like(close)
    return {
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "vwap": close,
        "volume": flat * 1e9,
        "factor": flat,
        "change": _change(close),
    }


def _change(close: Floats) -> Floats:
    change = np.full_like(close, np.nan)
    change[1:] = fixed(close[1:] / close[:-1] - 1)
    return change


def _write_symbol(folder: Path, listing: Listing, columns: dict[str, Floats]) -> None:
    home = folder / "features" / listing.symbol.lower()
    home.mkdir(parents=True)
    for name, values in columns.items():
        content = np.concatenate([[listing.first], values + 0.0]).astype("<f4")
        content[np.isnan(content)] = np.nan  # one bit pattern for every NaN
        (home / f"{name}.day.bin").write_bytes(content.tobytes())


def _write_text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
