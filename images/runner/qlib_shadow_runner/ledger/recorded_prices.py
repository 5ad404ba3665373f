"""The prices that a decision itself records, so that its orders can be made again without any data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from qlib_shadow_runner.ledger.account import Account, Order
from qlib_shadow_runner.ledger.orders import without_rounding
from qlib_shadow_runner.ledger.plan import INVERSE_VOL, SCORE, Plan, make_plan, only_sales
from qlib_shadow_runner.ledger.quotes import NONE, Quotes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.ledger.rules import Rules


@dataclass(frozen=True)
class Known:
    """The last close of an instrument, with its day and its factor."""

    day: date
    close: float
    factor: float
    """NaN where there is none."""


@dataclass(frozen=True)
class RecordedQuotes(Quotes):
    """The last close of each instrument that a decision holds or orders, and nothing else."""

    known: Mapping[str, Known] = field(default_factory=dict)
    day: date = date.min

    @classmethod
    def of_decision(cls, document: Mapping[str, Any], rules: Rules) -> Self:
        """Return the prices of a decision."""
        known = {}
        for name, held in Account.read(document["account"]).holdings.items():
            known[name] = Known(date.fromisoformat(held.priced), held.price, held.factor)
        for order in map(Order.read, document["orders"]):
            if not order.priced:
                continue
            held_at = known.get(order.instrument)
            factor = order.shares / order.amount if order.amount else 1 / 1e9
            if held_at is not None and (held_at.close == order.price or not order.amount):
                factor = held_at.factor
            if not _is_in_lots(order, rules.costs.trade_unit):
                factor = NONE
            known[order.instrument] = Known(date.fromisoformat(order.priced), order.price, factor)
        return cls(dataset=None, known=known, day=date.fromisoformat(document["day"]))  # type: ignore[arg-type]

    @cached_property
    def calendar(self) -> tuple[date, ...]:
        """Return the days of the prices, and that of the decision."""
        return tuple(sorted({self.day, *(one.day for one in self.known.values())}))

    def get(self, name: str, symbol: str, index: int) -> float:
        """Return a close or a factor on its day."""
        found = self.known.get(symbol)
        if found is None or name not in ("close", "factor") or self.calendar[index] != found.day:
            return NONE
        return found.close if name == "close" else found.factor

    def last(self, name: str, symbol: str, index: int) -> tuple[float, int]:
        """Return the last value and the number of its day."""
        found = self.known.get(symbol)
        if found is None or self.index(found.day) > index:
            return NONE, -1
        return self.get(name, symbol, self.index(found.day)), self.index(found.day)


def _is_in_lots(order: Order, unit: int | None) -> bool:
    """Return whether the raw shares of an order are whole lots; the end of a holding may be anything."""
    return unit is not None and without_rounding(order.shares / unit).is_integer()


def plan_at_recorded_prices(
    account: Account, document: Mapping[str, Any], rules: Rules, book: str, *, sales: bool
) -> Plan | None:
    """Return the plan of a decision at its own prices; None where that of its rules needs more prices.

    The participation is that which is recorded, since volumes are not.
    """
    expected = document["expected"]
    if rules.targets.weights == INVERSE_VOL:
        if sales:
            return None
        # Weights by score are in proportion to expected returns, for which the recorded ones are taken.
        rules = replace(rules, targets=replace(rules.targets, weights=SCORE))
        expected = document["targets"]
    plan = make_plan(
        account,
        document["scores"],
        expected,
        rules,
        RecordedQuotes.of_decision(document, rules),
        day=date.fromisoformat(document["day"]),
        book=book,
    )
    plan = only_sales(plan) if sales else plan
    return replace(plan, figures={**plan.figures, "participation": document["figures"].get("participation")})
