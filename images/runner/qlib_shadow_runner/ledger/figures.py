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
    account: Account, orders: Iterable[Order], volumes: Mapping[str, float], most: float | None = None
) -> dict[str, float | None]:
    """Return turnover, gross, names, maxWeight and participation; None where there is no figure.

    maxWeight is the largest weight of what is bought: a holding that has grown by itself exceeds no limit.
    Participation is the largest share that an order has of its instrument's volume of the day. Where a volume
    is not known it is not known either, unless an order exceeds the `most` that is allowed in any case.
    """
    orders, nav = list(orders), account.value
    after = weights_after(account, orders)
    bought = [after.get(order.instrument, 0.0) for order in orders if order.side == BUY]
    traded = math.fsum(order.amount * order.price for order in orders)
    return {
        "turnover": traded / nav if nav > 0 else None,
        "gross": math.fsum(after.values()) if nav > 0 else None,
        "names": float(len(after)),
        "maxWeight": max(bought, default=0.0),
        "participation": _participation(orders, volumes, math.inf if most is None else most),
    }


def _participation(orders: Iterable[Order], volumes: Mapping[str, float], most: float) -> float | None:
    shares, unknown = [], False
    for order in orders:
        volume = volumes.get(order.instrument)
        if volume is None:
            unknown = True
        else:
            shares.append(order.amount / volume)
    found = max(shares, default=0.0)
    return None if unknown and found <= most else found
