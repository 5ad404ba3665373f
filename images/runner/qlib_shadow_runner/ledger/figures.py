"""What orders would lead to, at the prices of their decision: the figures that limits are asked of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qlib_shadow_runner.ledger.exchange import BUY, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qlib_shadow_runner.ledger.account import Account, Order


def amounts_after(account: Account, orders: Iterable[Order]) -> dict[str, tuple[float, float]]:
    """Return the amount and the price of each instrument after all orders."""
    after = {name: (held.amount, held.price) for name, held in account.holdings.items()}
    for order in orders:
        held, price = after.get(order.instrument, (0.0, order.price))
        if order.side == BUY:
            after[order.instrument] = held + order.amount, price
        elif is_whole(order.amount, held):
            after.pop(order.instrument, None)
        else:
            after[order.instrument] = held - order.amount, price
    return {name: (amount, price) for name, (amount, price) in after.items() if amount > 0}


def weights_after(account: Account, orders: Iterable[Order]) -> dict[str, float]:
    """Return the share of the account that each instrument has after all orders."""
    nav = account.value
    if not nav > 0:
        return {}
    return {name: amount * price / nav for name, (amount, price) in amounts_after(account, orders).items()}


def figures_of(
    account: Account, orders: Iterable[Order], volumes: Mapping[str, float]
) -> dict[str, float | None]:
    """Return turnover, gross, names, maxWeight and participation; None where there is no figure.

    Participation is the largest share that an order has of its instrument's volume of the day; instruments
    whose volume is not known are left out of it.
    """
    orders, nav = list(orders), account.value
    after = weights_after(account, orders)
    shares = [order.amount / volumes[order.instrument] for order in orders if order.instrument in volumes]
    traded = math.fsum(order.amount * order.price for order in orders)
    return {
        "turnover": traded / nav if nav > 0 else None,
        "gross": math.fsum(after.values()) if nav > 0 else None,
        "names": float(len(after)),
        "maxWeight": max(after.values(), default=0.0),
        "participation": max(shares, default=None if orders else 0.0),
    }
