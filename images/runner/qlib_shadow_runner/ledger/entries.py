"""The entries of a book's chain: decisions and reconciled trading days, as documents with one form.

chain/<number>.json is an entry, numbered from 1 on: the decision made after a day's close, or a trading day
after a decision, reconciled with its real prices. A day's fills come before its decision. Each entry holds
the SHA-256 of the previous entry's bytes; the first holds that of BOOK.json. All that could follow a head
share one name, so that only one of them can be written, whatever becomes of a lock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict

from qlib_shadow_runner.contract import LEDGERS as LEDGERS  # noqa: PLC0414 - it belongs to the layout of a book, too

SCHEMA: Final = 1
BOOK_FILE: Final = "BOOK.json"
HALT_FILE: Final = "HALT"
CHAIN: Final = "chain"
"""The folder of the entries."""
HALTS: Final = "halts"
"""The folder with the kill switches that were lifted."""
PORTFOLIO_FILE: Final = "PORTFOLIO.json"
"""Beside the books: {"capital": money, "shares": {book: share}}."""


class Decision(StrEnum):
    """What was decided on a day."""

    DECIDED = "Decided"
    """All gates are open; the orders are recorded."""
    REDUCING = "Reducing"
    """Only sales are recorded."""
    HELD = "Held"
    """A gate is closed: there are no orders, and positions stay."""


class Verdict(StrEnum):
    """What a gate says."""

    OPEN = "open"
    CLOSED = "closed"
    REDUCE = "reduce"
    """Only sales pass."""
    UNKNOWN = "unknown"
    """There is no figure; the gate's own rule says that it passes then."""


def is_closed(verdict: str) -> bool:
    """Return whether a gate with this verdict holds the day, or lets only sales pass."""
    return verdict in (Verdict.CLOSED, Verdict.REDUCE)


class GateAnswer(TypedDict):
    """One gate's answer in a decision."""

    gate: str
    figure: float | str | None
    limit: float | str | None
    verdict: str
    sentence: str


class BookDocument(TypedDict):
    """BOOK.json, written once."""

    schema: int
    book: str
    namespace: str
    capital: float
    share: float | None
    """The share of the portfolio file's capital, where the capital came from there."""
    rules: dict[str, Any]
    """The rules of the first era."""
    createdBy: str
    """The run that began the book."""
    createdAt: str


class LinkDocument(TypedDict):
    """What both kinds of entries have."""

    schema: int
    kind: str
    """decision or fills"""
    day: str
    previous: str
    """The SHA-256 of the previous entry's file."""
    number: int
    """1 for the first entry of the chain, of either kind."""


class DayDocument(LinkDocument):
    """A decision."""

    run: dict[str, Any]
    """runId, uid, signalsSha256, modelSha256, configHash, datasetFingerprint, dataset, live, benchmark."""
    era: int
    """The number of rules that the book has had so far, from 1 on."""
    rules: dict[str, Any] | None
    """The rules, where they are others than before; None otherwise."""
    rulesSha256: str
    recordedAt: str
    decideBefore: str | None
    """The moment in UTC after which the decision is late."""
    late: bool
    """Recorded after that moment: its orders are never filled and stay out of the record's figures."""
    decision: str
    gates: list[GateAnswer]
    scores: dict[str, float]
    """The day's signals, best first: what the decision follows from."""
    expected: dict[str, float]
    """The expected returns of the day, where they are known; weights by score need them."""
    targets: dict[str, float]
    """The wanted share of the account of each instrument; after a Held decision that of what is held."""
    orders: list[dict[str, Any]]
    account: dict[str, Any]
    """Cash, nav and positions at the close of the day (account.Account.document)."""
    figures: dict[str, float | None]
    """turnover, gross, names, maxWeight (of what is bought) and participation that the orders would lead to;
    drawdown and dayReturn (of the worst day since the last decision), of which limits are asked as well. None
    is not known, or, after a Held decision, not asked."""
    peakSince: str
    """The day from which the peak counts: the book's first, or the last one before the latest resume."""
    promise: dict[str, float | None]
    """mean and deviation of the daily return (net of cost) of the run's backtest, and its days."""
    notes: list[str]


class FillDocument(LinkDocument):
    """A trading day."""

    run: dict[str, Any]
    """The run whose data had the prices: runId, datasetFingerprint, dataset, and its benchmark's name."""
    decision: str | None
    """The day of the decision whose orders were due; None where none was."""
    fills: list[dict[str, Any]]
    carried: list[dict[str, Any]]
    """Orders that are still due on the next trading day."""
    adjusted: list[dict[str, Any]]
    """Holdings whose past prices were restated: instrument, ratio, and whether raw prices changed as well."""
    account: dict[str, Any]
    """Cash, nav and positions at the close of the day."""
    costs: float
    traded: float
    """The value of all fills."""
    pnl: float
    """The change of the account's value since the entry before."""
    dayReturn: float
    shortfall: float
    benchmark: float | None
    """The benchmark's return of the day, where the run's backtest has it."""
    notes: list[str]


def name_of(number: int) -> str:
    """Return the path of an entry below the book's folder, such as chain/000007.json."""
    return f"{CHAIN}/{number:06d}.json"


def written(moment: datetime) -> str:
    """Return a moment in UTC as documents have it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encode(document: Any) -> bytes:
    """Return an entry's bytes: the same document always gives the same ones; NaN is refused."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
