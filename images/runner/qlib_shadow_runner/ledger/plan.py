"""A decision: from the day's signals and the account to targets and the orders of the next trading day.

The figures say what the orders would lead to at the prices of the decision, so that limits can be asked
before anything is recorded. Without a rule of weights, purchases are sized on their day, as Qlib's
TopkDropoutStrategy does it, and their amounts here are estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from qlib_shadow_runner.ledger.account import Account, Order
from qlib_shadow_runner.ledger.exchange import BUY, NOTHING, SELL, rounded
from qlib_shadow_runner.ledger.figures import figures_of, weights_after
from qlib_shadow_runner.ledger.orders import order_id, slices_of, without_rounding
from qlib_shadow_runner.ledger.restated import at_restated_prices
from qlib_shadow_runner.ledger.topk import choose, ranked
from qlib_shadow_runner.ledger.weights import Shares, by_inverse_volatility, by_score, equal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qlib_shadow_runner.ledger.orders import Hours
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

SCORE: Final = "score"
INVERSE_VOL: Final = "inverseVol"


@dataclass(frozen=True)
class Plan:
    """What is wanted, and the orders that lead there: sales first, then purchases, the best rank first."""

    targets: Mapping[str, float]
    """The wanted share of the account of each instrument."""
    orders: tuple[Order, ...]
    figures: Mapping[str, float | None]
    """turnover, gross, names, maxWeight and participation; see `figures`."""
    notes: tuple[str, ...] = ()
    account: Account = field(default=Account(0.0), repr=False)
    """The account that was decided upon."""
    volumes: Mapping[str, float] = field(default_factory=dict, repr=False)
    """The day's volume of each instrument that is traded, where it is known."""
    most: float | None = field(default=None, repr=False)
    """The most of a volume that is allowed."""


class Price(NamedTuple):
    """The last close of an instrument, with its factor and its day."""

    close: float
    factor: float
    day: str
    unit: int | None
    """The lot; None where there is none, or no factor that tells raw shares."""


def make_plan(
    account: Account,
    scores: Mapping[str, float],
    expected: Mapping[str, float],
    rules: Rules,
    quotes: Quotes,
    *,
    day: date,
    book: str,
    hours: Hours | None = None,
) -> Plan:
    """Return the decision of a day from its signals and the account at its close, at the dataset's prices.

    `hours` are the spans, in UTC, in which the exchange trades on the day on which the orders are due;
    without them, orders have no slices. A day without signals has no orders.
    """
    account = at_restated_prices(account, quotes).account
    maker = _Maker(account, scores, rules, quotes, day, book, hours)
    if not scores:
        return maker.plan(weights_after(account, ()), (), ["There are no signals of this day."])
    choice = choose(scores, account.holdings, rules.targets.topk, rules.targets.n_drop)
    notes = ["Equal scores at the cut are ordered by name."] if choice.tied else []
    sell = [name for name in choice.sell if account.holdings[name].days >= rules.targets.hold_days]
    if rules.targets.weights is None:
        return maker.as_qlib(sell, choice.buy, notes)
    return maker.towards(maker.weights(sell, choice.buy, expected), notes)


def only_sales(plan: Plan) -> Plan:
    """Return the plan without its purchases, with the figures that its sales alone would lead to."""
    orders = tuple(order for order in plan.orders if order.side == SELL)
    return replace(
        plan,
        targets=weights_after(plan.account, orders),
        orders=orders,
        figures=figures_of(plan.account, orders, plan.volumes, plan.most),
    )


@dataclass(frozen=True)
class _Maker:
    """What all orders of a day have in common."""

    account: Account
    scores: Mapping[str, float]
    rules: Rules
    quotes: Quotes
    day: date
    book: str
    hours: Hours | None

    @property
    def index(self) -> int:
        return self.quotes.index(self.day)

    def as_qlib(self, sell: Iterable[str], buy: tuple[str, ...], notes: list[str]) -> Plan:
        """Return whole sales, and purchases that share the cash that these leave."""
        costs, cash, orders = self.rules.costs, self.account.cash, []
        for name in sell:
            held = self.account.holdings[name]
            orders.append(self.order(name, SELL, held.amount))
            cash += held.value - max(held.value * costs.close_cost, costs.min_cost)
        share = self.rules.targets.risk_degree / len(buy) if buy else 0.0
        targets = weights_after(self.account, orders)
        for name in buy:
            price = self.price(name)
            money = max(0.0, cash) * share
            amount = rounded(money / price.close, price.factor, price.unit) if price.close else 0.0
            orders.append(self.order(name, BUY, amount, share))
            targets[name] = money / self.account.value if self.account.value > 0 else 0.0
        return self.plan(targets, orders, notes)

    def weights(self, sell: Iterable[str], buy: Iterable[str], expected: Mapping[str, float]) -> Shares:
        """Return the wanted weights of all that is kept or bought, the best rank first."""
        left = [name for name in self.account.holdings if name not in frozenset(sell)]
        names, degree = ranked([*left, *buy], self.scores), self.rules.targets.risk_degree
        if not names:
            return Shares({})
        if self.rules.targets.weights == SCORE:
            return by_score(names, expected, degree)
        if self.rules.targets.weights == INVERSE_VOL:
            return by_inverse_volatility(names, self.quotes, self.index, degree)
        return equal(names, degree)

    def towards(self, wanted: Shares, notes: list[str]) -> Plan:
        """Return the orders that take the account to its wanted weights, in whole lots."""
        sales, purchases, nav = [], [], self.account.value
        for name, held in self.account.holdings.items():
            weight = wanted.weights.get(name, 0.0)
            more = weight * nav / held.price - held.amount if held.price > 0 else 0.0
            if more < 0 and held.days >= self.rules.targets.hold_days:
                amount = rounded(-more, held.factor, self.price(name).unit) if weight > 0 else held.amount
                sales.append(self.order(name, SELL, amount))
        for name, weight in wanted.weights.items():
            price = self.price(name)
            had = self.account.holdings[name].amount if name in self.account.holdings else 0.0
            if not price.close:
                notes.append(f"{name} has had no price so far: it is not bought.")
            elif (more := weight * nav / price.close - had) > 0:
                purchases.append(self.order(name, BUY, rounded(more, price.factor, price.unit)))
        orders = [order for order in (*sales, *purchases) if order.amount * order.price > NOTHING]
        return self.plan(wanted.weights, orders, [*notes, *wanted.notes])

    def plan(self, targets: Mapping[str, float], orders: Iterable[Order], notes: Iterable[str]) -> Plan:
        """Return the plan with its figures."""
        orders = tuple(orders)
        found = {one.instrument: self.quotes.get("volume", one.instrument, self.index) for one in orders}
        volumes = {name: volume for name, volume in found.items() if volume > 0}
        most = self.rules.limits.max_participation
        figures = figures_of(self.account, orders, volumes, most)
        unknown = found.keys() - volumes.keys() if most is not None else ()
        told = [
            f"{name}: its volume is not known; no participation is asked of it." for name in sorted(unknown)
        ]
        return Plan(dict(targets), orders, figures, (*notes, *told), self.account, volumes, most)

    def price(self, name: str) -> Price:
        """Return the price by which an instrument is decided upon: 0 where it never had one."""
        held = self.account.holdings.get(name)
        if held is not None:
            return Price(held.price, held.factor, held.priced, self.unit(name, held.priced))
        close, index = self.quotes.last("close", name, self.index)
        if not close > 0:
            return Price(0.0, 1.0, "", None)
        day = self.quotes.calendar[index].isoformat()
        return Price(close, self.quotes.factor(name, index), day, self.unit(name, day))

    def unit(self, name: str, day: str) -> int | None:
        """Return the lot of an instrument on a day."""
        found = date.fromisoformat(day)
        known = self.quotes.has(found) and self.quotes.get("factor", name, self.quotes.index(found)) > 0
        return self.rules.costs.trade_unit if known else None

    def order(self, name: str, side: str, amount: float, money_share: float | None = None) -> Order:
        """Return an order with its id and slices."""
        price = self.price(name)
        shares = without_rounding(amount * price.factor)
        id_ = order_id(
            book=self.book,
            day=self.day,
            instrument=name,
            side=side,
            quantity=[shares, money_share],
            rules=self.rules.sha256,
        )
        slices = self.hours and slices_of(id_, shares, price.unit, self.rules.slices, self.hours)
        return Order(name, side, shares, amount, price.close, money_share, price.day, id_, slices or ())
