"""Why the paper account and tonight's backtest of the same days differ, in parts that sum to the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets

PARTS: Final = ("data", "timing", "costs", "rules", "signals", "start")
"""In the order in which they are replaced, from the paper account to the backtest."""


class Entry(Protocol):
    """An entry of a book's chain."""

    @property
    def document(self) -> Any:
        """Return the decision or the trading day."""


@dataclass(frozen=True)
class Backtest:
    """Tonight's backtest."""

    days: tuple[date, ...]
    nav: tuple[float, ...]
    """The account at the close of each day."""
    scores: Mapping[date, Mapping[str, float]]
    """Tonight's signals of each day."""
    costs: Costs
    strategy: Targets
    fill_at: str = "close"


@dataclass(frozen=True)
class Tracking:
    """The return of the paper account less that of the backtest over the same days, and its parts."""

    total: float
    parts: Mapping[str, float]
    """data, timing, costs, rules, signals and start; they sum to the total."""
    by_day: tuple[Mapping[str, Any], ...]
    """For each day: day, paper and backtest (returns since the start), total, and each part."""
    band: float | None
    """How far chance alone takes the total: two deviations of its daily changes; None for few days."""


def track(entries: Sequence[Entry], rules: Rules, quotes: Quotes, tonight: Backtest) -> Tracking | None:
    """Return the tracking difference; None where the account and the backtest have no two days in common."""
    raise NotImplementedError
