"""A trading day: orders are filled at its real prices, and the account is valued at its close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.ledger.account import Account, Fill, Order
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules


@dataclass(frozen=True)
class Settled:
    """A trading day, as an entry of the chain records it."""

    account: Account
    """At the close of the day."""
    fills: tuple[Fill, ...]
    """One for each order, also where nothing could be traded, and one for each holding that is ended."""
    carried: tuple[Order, ...]
    """The orders that are still due on the next trading day."""
    adjusted: tuple[Mapping[str, Any], ...]
    """Each holding whose past price was restated: instrument, ratio, raw (whether raw prices changed too)."""
    notes: tuple[str, ...]
    costs: float
    traded: float
    pnl: float
    day_return: float
    shortfall: float


def settle_day(
    account: Account,
    orders: Sequence[Order],
    rules: Rules,
    quotes: Quotes,
    *,
    before: date,
    day: date,
) -> Settled:
    """Return a trading day: restated prices of `before`, the day's fills, then values at its close."""
    raise NotImplementedError
