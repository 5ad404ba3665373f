"""What an entry of a chain has to be by itself and the entry before it, without any prices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.exchange import BUY
from qlib_shadow_runner.ledger.orders import order_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qlib_shadow_runner.ledger.account import Order
    from qlib_shadow_runner.ledger.rules import Costs

    _Fields = Mapping[str, Any]

Difference = tuple[str, Any, Any]
"""A field, its recorded value, and the one that follows from the rest."""
ROUNDING: Final = 1e-9
RESTATED: Final = 1e-5
"""By how much amounts may differ where prices were restated: such a small change is not recorded."""


def of_account(recorded: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what does not follow from amounts, prices and factors in a recorded account."""
    expected = Account.read(recorded).document()
    if recorded["nav"] != expected["nav"]:
        yield "account.nav", recorded["nav"], expected["nav"]
    for number, (one, other) in enumerate(zip(recorded["positions"], expected["positions"], strict=True)):
        for name in ("shares", "weight"):
            if one[name] != other[name]:
                yield f"account.positions[{number}].{name}", one[name], other[name]


def of_trading_day(
    document: Mapping[str, Any], before: Account, due: Sequence[Order], costs: Costs
) -> Iterator[Difference]:
    """Yield what does not follow from the account before, the orders that were due and the recorded fills."""
    fills, after = document["fills"], Account.read(document["account"])
    yield from of_account(document["account"])
    for name, part in (("costs", "cost"), ("traded", "value"), ("shortfall", "shortfall")):
        if document[name] != (expected := math.fsum(one[part] for one in fills)):
            yield name, document[name], expected
    pnl = after.value - before.value
    if document["pnl"] != pnl:
        yield "pnl", document["pnl"], pnl
    if document["dayReturn"] != (expected := pnl / before.value if before.value else 0.0):
        yield "dayReturn", document["dayReturn"], expected
    cash = before.cash + math.fsum(_money(one) for one in fills)
    if not math.isclose(after.cash, cash, rel_tol=ROUNDING, abs_tol=ROUNDING * max(1.0, abs(before.value))):
        yield "account.cash", after.cash, cash
    yield from _of_amounts(document, before, after)
    yield from _of_fills(fills, costs)
    yield from _of_holdings(document, before, after)
    wanted = sorted((one.id, one.instrument, one.side) for one in due)
    found = sorted((one["order"], one["instrument"], one["side"]) for one in fills if one["order"])
    if found != wanted:
        yield "fills", [one[0] for one in found], [one[0] for one in wanted]


def of_orders(
    orders: Sequence[Mapping[str, Any]], *, book: str, day: Any, rules: str
) -> Iterator[Difference]:
    """Yield the ids that are not those of their orders."""
    for number, one in enumerate(orders):
        expected = order_id(
            book=book,
            day=day,
            instrument=one["instrument"],
            side=one["side"],
            quantity=[one["shares"], one["money_share"]],
            rules=rules,
        )
        if one["id"] != expected:
            yield f"orders[{number}].id", one["id"], expected


def _money(fill: Mapping[str, Any]) -> float:
    """Return the cash that a fill brings."""
    value = -fill["value"] if fill["side"] == BUY else fill["value"]
    return float(value - fill["cost"])


def _of_fills(fills: Sequence[Mapping[str, Any]], costs: Costs) -> Iterator[Difference]:
    """Yield the values and costs that do not follow from amount, price and the rules' costs."""
    for number, one in enumerate(fills):
        if one["value"] != (value := one["amount"] * one["price"]):
            yield f"fills[{number}].value", one["value"], value
        rate = costs.open_cost if one["side"] == BUY else costs.close_cost
        is_trade = bool(one["order"]) and value > 0
        least = max(value * rate, costs.min_cost) if is_trade else 0.0
        has_impact = is_trade and costs.impact_cost != 0  # it depends on the day's volume
        if one["cost"] != least and not (has_impact and one["cost"] >= least * (1 - ROUNDING)):
            yield f"fills[{number}].cost", one["cost"], least


def _of_holdings(document: Mapping[str, Any], before: Account, after: Account) -> Iterator[Difference]:
    """Yield the days of holdings that do not follow from those before."""
    bought = {one["instrument"] for one in document["fills"] if one["side"] == BUY and one["amount"] > 0}
    for number, (name, held) in enumerate(after.holdings.items()):
        had = before.holdings.get(name)
        days = ({1} if had is None or name in bought else set()) | ({had.days + 1} if had else set())
        if held.days not in days:
            yield f"account.positions[{number}].days", held.days, max(days)
        priced = {document["day"], *([had.priced] if had else [])}
        if held.priced not in priced:
            yield f"account.positions[{number}].priced", held.priced, max(priced)


def _of_amounts(document: Mapping[str, Any], before: Account, after: Account) -> Iterator[Difference]:
    ratios = {one.get("instrument"): one.get("ratio") for one in document["adjusted"]}
    amounts = {name: one.amount / float(ratios.get(name) or 1.0) for name, one in before.holdings.items()}
    for fill in document["fills"]:
        change = fill["amount"] if fill["side"] == BUY else -fill["amount"]
        amounts[fill["instrument"]] = amounts.get(fill["instrument"], 0.0) + change
    for name in dict.fromkeys([*amounts, *after.holdings]):
        had = after.holdings[name].amount if name in after.holdings else 0.0
        expected = amounts.get(name, 0.0)
        most = before.holdings[name].amount if name in before.holdings else expected
        if not math.isclose(had, expected, rel_tol=RESTATED, abs_tol=RESTATED * max(1.0, abs(most))):
            yield f"account.positions of {name}", had, expected
