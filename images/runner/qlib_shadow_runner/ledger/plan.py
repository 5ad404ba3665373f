"""A decision: from the day's signals and the account to targets and the orders of the next trading day.

The figures say what the orders would lead to at the prices of the decision, so that limits can be asked
before anything is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from qlib_shadow_runner.ledger.account import Account, Order
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules


@dataclass(frozen=True)
class Plan:
    """What is wanted, and the orders that lead there: sales first, then purchases, the best rank first."""

    targets: Mapping[str, float]
    """The wanted share of the account of each instrument."""
    orders: tuple[Order, ...]
    figures: Mapping[str, float | None]
    """turnover, gross, names, maxWeight and participation."""
    notes: tuple[str, ...] = field(default=())


def make_plan(
    account: Account,
    scores: Mapping[str, float],
    expected: Mapping[str, float],
    rules: Rules,
    quotes: Quotes,
    *,
    day: date,
    book: str,
    session: tuple[datetime, datetime] | None = None,
) -> Plan:
    """Return the decision of a day from its signals and the account at its close.

    `session` is when the exchange opens and closes on the day on which the orders are due; the slices of an
    order need it.
    """
    raise NotImplementedError


def only_sales(plan: Plan) -> Plan:
    """Return the plan without its purchases, with the figures that its sales alone would lead to."""
    raise NotImplementedError
