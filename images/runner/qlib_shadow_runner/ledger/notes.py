"""What a decision says besides, in sentences: missed nights, other rules, and what is wrong with holdings."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.entries import Decision
from qlib_shadow_runner.ledger.exchange import BUY, SELL
from qlib_shadow_runner.ledger.figures import weights_after
from qlib_shadow_runner.texts import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.ledger.account import Account, Order
    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

STALE_DAYS: Final = 3
"""A holding that has had no price for so many trading days is named."""
SHOWN: Final = 10
"""Instruments that a sentence names."""
ROUNDING: Final = 1e-9


def of_nights(chain: Chain, day: date, quotes: Quotes, *, is_new: bool) -> list[str]:
    """Return what is to be said of the nights before a decision."""
    notes = []
    if is_new:
        notes.append(f"the rules are others than before; this is era {len(chain.rules) + 1} of the book")
    if chain.decisions:
        last = chain.decisions[-1].day
        missed = [one for one in quotes.between(last, day) if one != day]
        if missed:
            days = f"{missed[0]} to {missed[-1]}" if len(missed) > 1 else str(missed[0])
            notes.append(f"no night decided from {last} to {day}: {len(missed)} missed ({days})")
        entries = takewhile(lambda one: one.day >= last, reversed(chain.entries))
        notes += [
            f"the data has no trading day {gone} any more, which the book keeps with the prices of then"
            for gone in sorted({one.day for one in entries if not quotes.has(one.day)})
        ]
    return notes


def of_holdings(chain: Chain, account: Account, orders: Sequence[Order], rules: Rules) -> list[str]:
    """Return what is to be said of what is held: no prices, sales that do not come about, grown weights."""
    priced = {name: held.priced for name, held in account.holdings.items()}
    unpriced = without_price(chain, priced)
    return [
        *unpriced,
        *_unsold(chain, priced, {one.instrument for one in orders if one.side == SELL}),
        *_grown(account, orders, rules),
    ]


def without_price(chain: Chain, priced: Mapping[str, str]) -> list[str]:
    """Return a sentence for each day since which holdings have had no price, for three trading days or more.

    `priced` is the day of the last price of each holding.
    """
    days = [str(one.day) for one in chain.fills[-STALE_DAYS:]]
    if len(days) < STALE_DAYS:
        return []
    found: dict[str, list[str]] = {}
    for name, last in priced.items():
        if last < days[0]:
            found.setdefault(last, []).append(name)
    return [f"no price since {last}: {_list(names)}" for last, names in sorted(found.items())]


def held_nights(chain: Chain) -> int:
    """Return how many of the last decisions in a row were Held."""
    count = 0
    for one in reversed(chain.decisions):
        if one.brief["decision"] != Decision.HELD:
            break
        count += 1
    return count


def for_nights(count: int) -> str:
    """Return for how long a book is held; nothing where it is the first night."""
    return f"Held for {count} nights" if count > 1 else ""


def _unsold(chain: Chain, priced: Mapping[str, str], sold: set[str]) -> list[str]:
    """Return the sales that are decided again, and for want of a price came to nothing the last time."""
    if not chain.fills or not sold:
        return []
    last = chain.fills[-1]
    fills: Iterable[Mapping[str, Any]] = last.document["fills"]
    names = [
        one["instrument"]
        for one in fills
        if one["side"] == SELL
        and not one["amount"]
        and one["instrument"] in sold
        and priced.get(one["instrument"], str(last.day)) < str(last.day)
    ]
    return (
        [f"the sale was not filled on {last.day} either, for want of a price: {_list(names)}"]
        if names
        else []
    )


def _grown(account: Account, orders: Sequence[Order], rules: Rules) -> list[str]:
    most = rules.limits.max_weight
    if most is None:
        return []
    bought = {one.instrument for one in orders if one.side == BUY}
    weights = weights_after(account, orders)
    found = {name: one for name, one in weights.items() if one > most * (1 + ROUNDING) and name not in bought}
    return [
        f"{name} has grown to {percent(weight, 2)} of the account, beyond maxWeight ({percent(most, 2)}); "
        "a holding that is not bought closes nothing"
        for name, weight in list(found.items())[:SHOWN]
    ]


def _list(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
