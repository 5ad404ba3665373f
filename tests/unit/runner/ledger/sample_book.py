"""Writes a small sound book by hand: a decision each weekday, fills at made-up prices, and no stage."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.unit.runner.conftest import weekdays

from qlib_shadow_runner.ledger.account import Account, Fill, Holding, Order
from qlib_shadow_runner.ledger.entries import BOOK_FILE, CHAIN, SCHEMA, encode, name_of
from qlib_shadow_runner.ledger.rules import Rules, Targets

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD")
RULES: Final = Rules(Targets(topk=2, n_drop=1))
FIRST: Final = date(2026, 11, 2)
COST: Final = 0.001


@dataclass
class SampleBook:
    """A book that grows by one weekday at a time."""

    folder: Path
    book: str = "us-shadow"
    namespace: str = "research"
    capital: float = 100_000.0
    rules: Rules = RULES
    days: list[date] = field(default_factory=list)
    account: Account = field(default_factory=lambda: Account(0.0))
    due: list[Order] = field(default_factory=list)
    decided: date | None = None
    first: date | None = None
    """The day of the first decision."""
    late: bool = False
    previous: str = ""
    number: int = 0

    def begin(self) -> SampleBook:
        """Write BOOK.json."""
        (self.folder / CHAIN).mkdir(parents=True)
        self.account = Account(self.capital)
        content = encode(
            {
                "schema": SCHEMA,
                "book": self.book,
                "namespace": self.namespace,
                "capital": self.capital,
                "share": None,
                "rules": self.rules.document(),
                "createdBy": f"us-{FIRST:%Y%m%d}",
                "createdAt": f"{FIRST}T22:00:00Z",
            }
        )
        (self.folder / BOOK_FILE).write_bytes(content)
        self.previous = hashlib.sha256(content).hexdigest()
        return self

    def price(self, symbol: str, number: int) -> float:
        """Return the made-up close of a symbol on the day of a number."""
        place = SYMBOLS.index(symbol)
        return round(50 + 10 * place + 3 * math.sin(number / 2 + place) + 0.2 * number, 4)

    def decide(
        self, day: date, decision: str = "Decided", *, late: bool = False, **more: Any
    ) -> dict[str, Any]:
        """Write a day's decision: sell the first that is held, and buy the next symbols in turn."""
        number = (day - FIRST).days
        orders = self._orders(day, number) if decision != "Held" else []
        if decision == "Reducing":
            orders = [order for order in orders if order.side == "sell"]
        gates = [
            _gate("halt", "open", "there is no HALT", None, None),
            _gate("dataAge", "open", "the data is 0 sessions old, at most 4", 0, 4),
            _gate(
                "liveIc",
                {"Held": "closed"}.get(decision, "unknown"),
                "the live IC has decayed" if decision == "Held" else "too few judged days; it passes",
                -0.02 if decision == "Held" else None,
                0.0,
            ),
            _gate(
                "drawdown",
                {"Reducing": "reduce"}.get(decision, "open"),
                "the loss since the highest value is 12.0%, more than 10.0%"
                if decision == "Reducing"
                else "the loss since the highest value is 1.0%, at most 10.0%",
                0.12 if decision == "Reducing" else 0.01,
                0.1,
            ),
        ]
        document = {
            "schema": SCHEMA,
            "kind": "decision",
            "day": f"{day}",
            "previous": self.previous,
            "number": self.number + 1,
            "run": {
                "runId": f"us-{day:%Y%m%d}",
                "uid": None,
                "signalsSha256": "a" * 64,
                "modelSha256": "b" * 64,
                "configHash": "c" * 64,
                "datasetFingerprint": "d" * 64,
                "dataset": "/data/qlib/qlib_data/us",
                "live": True,
            },
            "era": 1,
            "rules": None,
            "rulesSha256": self.rules.sha256,
            "recordedAt": f"{day}T22:00:00Z",
            "decideBefore": None,
            "late": late,
            "decision": decision,
            "gates": gates,
            "scores": {symbol: round(0.4 - 0.1 * place, 2) for place, symbol in enumerate(SYMBOLS)},
            "expected": {},
            "targets": {order.instrument: 0.475 for order in orders if order.side == "buy"},
            "orders": [order.document() for order in orders],
            "account": self.account.document(),
            "figures": {
                "turnover": 0.475 * len(orders),
                "gross": 0.95,
                "names": 2,
                "maxWeight": 0.475,
                "participation": None,
                "drawdown": 0.0,
                "dayReturn": None,
            },
            "peakSince": f"{self.first or day}",
            "promise": {"mean": 0.0004, "deviation": 0.009, "days": 750},
            "notes": [],
            **more,
        }
        self.first = self.first or day
        self.due, self.decided, self.late = ([] if late else orders), day, late
        return self._append(document)

    def fill(self, day: date, *, benchmark: float | None = 0.001) -> dict[str, Any]:
        """Write a trading day: what was due is filled at the day's close, and the account valued."""
        number, before = (day - FIRST).days, self.account
        held = {
            name: replace(one, price=self.price(name, number), priced=f"{day}", days=one.days + 1)
            for name, one in before.holdings.items()
        }
        cash, fills = before.cash, []
        for order in self.due:
            price = self.price(order.instrument, number)
            sign = 1 if order.side == "buy" else -1
            value = order.amount * price
            cost = value * COST
            cash -= sign * value + cost
            if sign < 0:
                del held[order.instrument]
            else:
                held[order.instrument] = Holding(order.amount, price, 1.0, f"{day}")
            shortfall = sign * order.amount * (price - order.price) + cost
            fills.append(
                Fill(
                    *(order.id, order.instrument, order.side, order.shares, order.amount),
                    *(price, value, cost, shortfall),
                )
            )
        self.account = Account(cash, held)
        document = {
            "schema": SCHEMA,
            "kind": "fills",
            "day": f"{day}",
            "previous": self.previous,
            "number": self.number + 1,
            "run": {
                "runId": f"us-{day:%Y%m%d}",
                "datasetFingerprint": "d" * 64,
                "dataset": "/data/qlib/qlib_data/us",
            },
            "decision": f"{self.decided}" if self.due else None,
            "fills": [fill.document() for fill in fills],
            "carried": [],
            "adjusted": [],
            "account": self.account.document(),
            "costs": sum(fill.cost for fill in fills),
            "traded": sum(fill.value for fill in fills),
            "pnl": self.account.value - before.value,
            "dayReturn": self.account.value / before.value - 1,
            "shortfall": sum(fill.shortfall for fill in fills),
            "benchmark": benchmark,
            "notes": [],
        }
        self.due = []
        return self._append(document)

    def _orders(self, day: date, number: int) -> list[Order]:
        held = list(self.account.holdings)
        sold = held[: self.rules.targets.n_drop] if len(held) >= self.rules.targets.topk else []
        wanted = self.rules.targets.topk - len(held) + len(sold)
        bought = [symbol for symbol in SYMBOLS if symbol not in held][:wanted]
        orders = [self._order(day, number, "sell", name, self.account.holdings[name].amount) for name in sold]
        for symbol in bought:
            shares = math.floor(self.capital * 0.475 / self.price(symbol, number))
            orders.append(self._order(day, number, "buy", symbol, float(shares)))
        return orders

    def _order(self, day: date, number: int, side: str, symbol: str, shares: float) -> Order:
        identity = f"{self.book} {day} {symbol} {side} {shares} {self.rules.sha256}"
        return Order(
            instrument=symbol,
            side=side,
            shares=shares,
            amount=shares,
            price=self.price(symbol, number),
            id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        )

    def _append(self, document: dict[str, Any]) -> dict[str, Any]:
        content = encode(document)
        self.number += 1
        (self.folder / name_of(self.number)).write_bytes(content)
        self.previous = hashlib.sha256(content).hexdigest()
        return document


def write_book(
    ledgers: Path,
    name: str = "us-shadow",
    nights: int = 5,
    *,
    held: Collection[int] = (),
    reducing: Collection[int] = (),
    late: Collection[int] = (),
    missed: Collection[int] = (),
    first: date = FIRST,
    **more: Any,
) -> SampleBook:
    """Write a book of so many weekdays; the nights of these numbers, from 0 on, went otherwise."""
    book = SampleBook(ledgers / name, name, **more).begin()
    for number, day in enumerate(weekdays(nights, first)):
        if number:
            book.fill(day)
        if number in missed:
            continue
        decision = "Held" if number in held else "Reducing" if number in reducing else "Decided"
        book.decide(day, decision, late=number in late)
    return book


def recent_weekday(back: int = 0, now: datetime | None = None) -> date:
    """Return the last weekday, or one so many weekdays before it."""
    day = (now or datetime.now(UTC)).date()
    while True:
        if day.weekday() < 5:
            if back == 0:
                return day
            back -= 1
        day -= timedelta(days=1)


def _gate(
    name: str, verdict: str, sentence: str, figure: float | None, limit: float | None
) -> dict[str, Any]:
    return {"gate": name, "verdict": verdict, "sentence": sentence, "figure": figure, "limit": limit}
