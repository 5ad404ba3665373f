"""Why the paper account and tonight's backtest of the same days differ, in parts that sum to the whole.

The account is computed again from the first common day on, each time with one more thing as the backtest has
it, and each part is what that changes in the return:

    data      the recorded orders at the prices that the dataset has now
    timing    every day decided in time and none held, filled at the backtest's kind of price
    costs     the backtest's costs, lots and limits
    rules     the backtest's strategy; nothing is carried, and delisted holdings stay
    signals   tonight's signals of each day, not those that were recorded
    start     the backtest's own account: it began with other positions and with other money, and among equal
              scores it may have chosen others (see `topk`)

The order matters where two things work together, so it is fixed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from qlib_shadow_runner.ledger.account import Account, Order
from qlib_shadow_runner.ledger.exchange import SELL, is_whole
from qlib_shadow_runner.ledger.gap import band_of
from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.reconcile import STOPPED
from qlib_shadow_runner.ledger.restated import at_restated_prices, order_at_restated_price
from qlib_shadow_runner.ledger.rules import Rules
from qlib_shadow_runner.ledger.settle import settle_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Costs, Targets

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
    """How far chance alone takes the total, asked every night; None for few days."""


def track(entries: Sequence[Entry], rules: Rules, quotes: Quotes, tonight: Backtest) -> Tracking | None:
    """Return the tracking difference; None where the account and the backtest have no two days in common.

    `rules` are those of BOOK.json; the entries have those of later eras.
    """
    book = _Book.read(entries, rules)
    promised = dict(zip(tonight.days, tonight.nav, strict=True))
    days = [day for day in sorted(book.navs) if day in promised and quotes.has(day)]
    if len(days) <= 1 or not book.navs[days[0]] > 0:
        return None
    found = [
        _returns([book.navs[day] for day in days]),
        *(_returns(_navs(book, days, quotes, stage)) for stage in _stages(book, tonight, quotes)),
        _returns([promised[day] for day in days]),
    ]
    by_day = tuple(_difference(day, at) for day, *at in zip(days[1:], *found, strict=True))
    last = by_day[-1]
    return Tracking(last["total"], {name: last[name] for name in PARTS}, by_day, _band(by_day))


class _Book(NamedTuple):
    """What the entries of a book say, by day; the long parts of a day are read again when they are asked."""

    navs: Mapping[date, float]
    """The account's value at the close of the first decision's day and of each trading day since."""
    accounts: Mapping[date, Entry]
    """The entries that have the accounts of these days."""
    decisions: Mapping[date, Entry]
    due: Mapping[date, tuple[Order, ...]]
    """The orders that were due on each day, as they were decided."""
    whole: frozenset[str]
    """The ids of the sales of all that was held."""
    eras: tuple[tuple[date, Rules], ...]
    """The first day of each era, and its rules."""

    @classmethod
    def read(cls, entries: Iterable[Entry], rules: Rules) -> _Book:
        orders: dict[str, Order] = {}
        decisions: dict[date, Entry] = {}
        accounts: dict[date, Entry] = {}
        navs, due, whole, eras = {}, {}, list[str](), [(date.min, rules)]
        for entry in entries:
            document, day = entry.document, _day(entry.document)
            if document["kind"] == "decision":
                orders |= {one["id"]: Order.read(one) for one in document["orders"]}
                whole += _whole_sales(document)
                eras += [(day, Rules.read(document["rules"]))] if document["rules"] else []
                is_first = not decisions
                decisions[day] = entry
                if not is_first:
                    continue
            else:
                known = (one for one in document["fills"] if _was_due(one, orders))
                due[day] = tuple(orders[one["order"]] for one in known)
            accounts[day], navs[day] = entry, Account.read(document["account"]).value
        return cls(navs, accounts, decisions, due, frozenset(whole), tuple(eras))

    def signals(self, day: date) -> tuple[Mapping[str, float], Mapping[str, float]] | None:
        """Return the recorded scores and expected returns of a day; None where nothing was decided."""
        if day not in self.decisions:
            return None
        made = self.decisions[day].document
        return made["scores"], made["expected"]

    def rules(self, day: date) -> Rules:
        """Return the rules of the era of a day."""
        return next(rules for first, rules in reversed(self.eras) if first <= day)


class _Stage(NamedTuple):
    """One way to compute the account again: the rules of a day, and the orders that its account is given."""

    rules: Callable[[date], Rules]
    orders: Callable[[Account, date, date, tuple[Order, ...]], Sequence[Order]]
    """From the account, the day before, the day, and the orders that were carried to it."""


def _stages(book: _Book, tonight: Backtest, quotes: Quotes) -> Iterable[_Stage]:
    """Return the stages from the recorded orders to the backtest's rules and signals."""

    def recorded(account: Account, _: date, day: date, __: tuple[Order, ...]) -> Sequence[Order]:
        return [_as_large_as_held(one, account, book, quotes) for one in book.due.get(day, ())]

    def decided(
        rules: Callable[[date], Rules],
        scores: Callable[[date], tuple[Mapping[str, float], Mapping[str, float]]],
    ) -> _Stage:
        def orders(account: Account, before: date, _: date, carried: tuple[Order, ...]) -> Sequence[Order]:
            of_day, expected = scores(before)
            if not of_day:
                return carried
            plan = make_plan(account, of_day, expected, rules(before), quotes, day=before, book="")
            return plan.orders

        return _Stage(rules, orders)

    def as_recorded(day: date) -> tuple[Mapping[str, float], Mapping[str, float]]:
        return book.signals(day) or as_tonight(day)

    def as_tonight(day: date) -> tuple[Mapping[str, float], Mapping[str, float]]:
        return tonight.scores.get(day, {}), {}

    def in_time(day: date) -> Rules:
        return replace(book.rules(day), fill_at=tonight.fill_at)

    def at_its_costs(day: date) -> Rules:
        return replace(in_time(day), costs=tonight.costs)

    def by_its_rules(_: date) -> Rules:
        return Rules(tonight.strategy, tonight.costs, fill_at=tonight.fill_at)

    return (
        _Stage(book.rules, recorded),
        decided(in_time, as_recorded),
        decided(at_its_costs, as_recorded),
        decided(by_its_rules, as_recorded),
        decided(by_its_rules, as_tonight),
    )


def _navs(book: _Book, days: Sequence[date], quotes: Quotes, stage: _Stage) -> list[float]:
    """Return the account's value at the close of each day, computed again from that of the first."""
    first = Account.read(book.accounts[days[0]].document["account"])
    account, carried = at_restated_prices(first, quotes).account, tuple[Order, ...]()
    navs = {days[0]: account.value}
    span = quotes.calendar[quotes.index(days[0]) : quotes.index(days[-1]) + 1]
    for before, day in itertools.pairwise(span):
        orders = stage.orders(account, before, day, carried)
        settled = settle_day(account, orders, stage.rules(before), quotes, before=before, day=day)
        account, carried = settled.account, settled.carried
        navs[day] = account.value
    return [navs[day] for day in days]


def _was_due(fill: Mapping[str, Any], orders: Mapping[str, Order]) -> bool:
    """Return whether a fill is of an order, and the kill switch had not stopped that before."""
    return fill["order"] in orders and not (fill["why"] or "").startswith(STOPPED)


def _whole_sales(decision: Mapping[str, Any]) -> list[str]:
    holdings = Account.read(decision["account"]).holdings
    return [
        one["id"]
        for one in decision["orders"]
        if one["side"] == SELL
        and one["instrument"] in holdings
        and is_whole(one["amount"], holdings[one["instrument"]].amount)
    ]


def _as_large_as_held(order: Order, account: Account, book: _Book, quotes: Quotes) -> Order:
    """Return a recorded order: one that sold all sells all, of whatever the account has now."""
    held = account.holdings.get(order.instrument)
    if held is None or order.id not in book.whole:
        return order
    return replace(order_at_restated_price(order, quotes), amount=held.amount)


def _returns(navs: Sequence[float]) -> list[float]:
    return [nav / navs[0] - 1 for nav in navs[1:]]


def _difference(day: date, returns: Sequence[float]) -> dict[str, Any]:
    parts = {name: one - other for name, (one, other) in zip(PARTS, itertools.pairwise(returns), strict=True)}
    ends = {"day": day.isoformat(), "paper": returns[0], "backtest": returns[-1]}
    return {**ends, "total": sum(parts.values()), **parts}


def _band(by_day: Sequence[Mapping[str, Any]]) -> float | None:
    totals: list[float] = [0.0, *(one["total"] for one in by_day)]
    changes = [later - earlier for earlier, later in itertools.pairwise(totals)]
    return band_of(changes)


def _day(document: Mapping[str, Any]) -> date:
    return date.fromisoformat(document["day"])
