"""Check a book: recompute everything in it from its own files, and from prices where a dataset is given.

Each entry is recomputed from the entries before it, so that one that is wrong is named, and not all after it.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.account import Fill, Order
from qlib_shadow_runner.ledger.chain import DECISION, Chain
from qlib_shadow_runner.ledger.decide import Standing, late_after, next_trading_day, outcome, weigh
from qlib_shadow_runner.ledger.differences import differences
from qlib_shadow_runner.ledger.entries import BOOK_FILE, HALTS, encode
from qlib_shadow_runner.ledger.gates import SYNTHETIC, Facts, RunFacts
from qlib_shadow_runner.ledger.halts import history
from qlib_shadow_runner.ledger.plan import Plan, make_plan, only_sales
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.reconcile import STOPPED, due_after, settled_document
from qlib_shadow_runner.ledger.restated import at_restated_prices
from qlib_shadow_runner.ledger.sessions import DAY, Sessions
from qlib_shadow_runner.ledger.sums import of_account, of_orders, of_trading_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.ledger.entry import Entry
    from qlib_shadow_runner.ledger.rules import Rules
    from qlib_shadow_runner.ledger.sums import Difference

MOST: Final = 100
"""Findings; more say no more."""
OF_RUN: Final = {
    "golden": "golden",
    "signals": "signals",
    "modelAge": "model_age_days",
    "liveIc": "live_ic",
    "drift": "drift",
    "coverage": "coverage",
}
"""The gates whose figures come from the run, and the facts that these are."""


def verify_book(folder: Path, dataset: Dataset | None = None, head: str | None = None) -> list[str]:
    """Return what does not hold, as sentences that name file and field; none where everything does.

    Without a dataset, what follows from prices is not recomputed. Who can write the volume can forge a whole
    chain; only a head that was kept elsewhere (the run's status, its Event) shows that.
    """
    try:
        chain = Chain.read(folder)
    except FileNotFoundError:
        return [f"{folder} holds no book"]
    except StageError as error:
        return [error.message]
    found = [] if head is None else list(_findings_of_head(chain, head))
    quotes = None if dataset is None else Quotes.of(dataset)
    if chain.book["book"] != folder.absolute().name:
        found.append(f"{BOOK_FILE}: book is {chain.book['book']}, and its folder {folder.absolute().name}")
    found += _findings_of_peaks(chain, {one.resumed_day for one in history(folder)})
    return [*found, *islice(_findings(chain, quotes), MOST)]


def _findings_of_head(chain: Chain, head: str) -> Iterator[str]:
    if head not in {_hash_of_book(chain), *(one.sha256 for one in chain.entries)}:
        last = chain.entries[-1].path if chain.entries else BOOK_FILE
        yield (
            f"no entry has the hash {head}, which was the head: the chain was cut, or written again. Its "
            f"head is now {chain.head} ({last})"
        )


def _findings_of_peaks(chain: Chain, resumed: set[date | None]) -> Iterator[str]:
    """Yield the decisions from which a peak begins that no resume has let begin."""
    for before, entry in pairwise(chain.decisions):
        since = entry.brief["peakSince"]
        if since != before.brief["peakSince"] and date.fromisoformat(since) not in resumed:
            yield f"{entry.path}: peakSince is {since}, and nothing in {HALTS} resumed the book there"


def _findings(chain: Chain, quotes: Quotes | None) -> Iterator[str]:
    if not chain.book["capital"] > 0:
        yield f"{BOOK_FILE}: capital is {chain.book['capital']}, which is no money"
    before = Chain(chain.book, (), _hash_of_book(chain))
    for entry in chain.entries:
        if hashlib.sha256(encode(entry.document)).hexdigest() != entry.sha256:
            yield f"{entry.path} is not written as a book writes its entries"
        check = _decision if entry.kind == DECISION else _trading_day
        try:
            for field, recorded, expected in check(before, entry, quotes):
                told = f"{field} is {shown(recorded)}, and {shown(expected)} follows from the rest"
                yield f"{entry.path}: {told}"
        except StageError as error:  # its rules name an exchange or a time zone that there is none of
            yield f"{entry.path}: {error.message}"
        before = before.with_entry(entry)


def _hash_of_book(chain: Chain) -> str:
    return str(chain.entries[0].document["previous"]) if chain.entries else chain.head


def _trading_day(before: Chain, entry: Entry, quotes: Quotes | None) -> Iterator[Difference]:
    document, last = entry.document, before.entries[-1]
    due = due_after(before)
    if document["decision"] != due.decision:
        yield "decision", document["decision"], due.decision
    yield from of_trading_day(document, last.account, due.orders)
    if quotes is None:
        return
    missing = [day for day in (last.day, entry.day) if not quotes.has(day)]
    following = None if missing else quotes.calendar[quotes.index(last.day) + 1]
    if missing or following != entry.day:
        yield "day", document["day"], f"{following}, the dataset's next trading day after {last.day},"
        return
    fills = (Fill(**one) for one in document["fills"])
    stopped = [one for one in fills if one.why is not None and one.why.startswith(STOPPED)]
    expected = settled_document(
        before, entry.day, quotes, due, stopped, run=document["run"], benchmark=document["benchmark"]
    )
    is_rescaled = any(_is_rescaled(one, quotes) for one in (last.document, document))
    yield from differences(document, expected, rescaled=_nav(document) if is_rescaled else None)


def _decision(before: Chain, entry: Entry, quotes: Quotes | None) -> Iterator[Difference]:
    document = entry.document
    rules = Chain(before.book, (*before.entries, entry), entry.sha256).rules[-1]
    standing = Standing.of(before, entry.day, [date.fromisoformat(document["peakSince"])])
    yield from of_account(document["account"])
    yield from of_orders(
        document["orders"], book=before.book["book"], day=entry.day, rules=document["rulesSha256"]
    )
    yield from _of_lateness(document, rules)
    scores = list(document["scores"].values())
    if scores != sorted(scores, reverse=True):
        yield "scores", "in another order", "best first"
    is_rescaled = quotes is not None and _is_rescaled(document, quotes)
    weighed = weigh(
        _facts(document, standing),
        rules,
        lambda sales: _plan(before, entry, rules, standing, quotes, sales=sales),
    )
    answers = [{**one, "sentence": ""} for one in weighed.answers]
    recorded = {**document, "gates": [{**one, "sentence": ""} for one in document["gates"]]}
    expected = {
        **document,
        "decision": str(weighed.decision),
        "gates": answers,
        **outcome(weighed, standing),
    }
    yield from differences(recorded, expected, rescaled=_nav(document) if is_rescaled else None)


def _nav(document: Mapping[str, Any]) -> float:
    return abs(float(document["account"]["nav"]))


def _of_lateness(document: Mapping[str, Any], rules: Rules) -> Iterator[Difference]:
    """Yield whether the deadline is that of a later day, and whether the decision was late.

    Without `decideBefore` there may be none: that of synthetic data.
    """
    written, is_late = document["decideBefore"], False
    if written is None:
        if rules.decide_before is not None:
            yield "decideBefore", written, rules.decide_before
    else:
        moment, sessions = datetime.fromisoformat(written), Sessions.of(rules.calendar)
        days = [moment.date() + DAY * number for number in (-1, 0, 1)]
        possible = [
            late_after(rules, day, sessions, synthetic=False) for day in days if f"{day}" > document["day"]
        ]
        if moment not in possible:
            yield "decideBefore", written, f"{rules.decide_before or 'the price'} of a later day"
        is_late = datetime.fromisoformat(document["recordedAt"]) > moment
    if document["late"] is not is_late:
        yield "late", document["late"], is_late


def _facts(document: Mapping[str, Any], standing: Standing) -> Facts:
    """Return the facts of a decision: those from outside as it records them, the others as they follow."""
    figures: dict[str, Any] = {one["gate"]: one["figure"] for one in document["gates"]}
    run: dict[str, Any] = {fact: figures[gate] for gate, fact in OF_RUN.items() if gate in figures}
    age, halt = figures.get("dataAge"), figures.get("halt")
    return Facts(
        run=RunFacts(**run, synthetic=age == SYNTHETIC),
        halt=halt if halt in ("HALTED", "REDUCING") else None,
        data_age=age,
        drawdown=standing.drawdown,
        day_return=standing.day_return,
        holds=bool(standing.account.holdings),
    )


def _plan(
    before: Chain, entry: Entry, rules: Rules, standing: Standing, quotes: Quotes | None, *, sales: bool
) -> Plan:
    """Return the plan that follows from recorded signals; without prices, that which is recorded."""
    document = entry.document
    if quotes is None or not quotes.has(entry.day):
        orders = tuple(map(Order.read, document["orders"]))
        return Plan(document["targets"], orders, document["figures"])
    hours = None
    if rules.slices > 1:
        sessions = Sessions.of(rules.calendar)
        hours = sessions.hours(next_trading_day(entry.day, quotes, sessions))
    plan = make_plan(
        at_restated_prices(standing.account, quotes).account,
        document["scores"],
        document["expected"],
        rules,
        quotes,
        day=entry.day,
        book=before.book["book"],
        hours=hours,
    )
    return only_sales(plan) if sales else plan


def _is_rescaled(document: Mapping[str, Any], quotes: Quotes) -> bool:
    """Return whether the dataset has other prices by now for what an entry holds or orders."""
    priced = [*document["account"]["positions"], *document.get("orders", ()), *document.get("carried", ())]
    return any(
        quotes.get("close", one["instrument"], quotes.index(day)) != one["price"]
        for one in priced
        if one["priced"] and quotes.has(day := date.fromisoformat(one["priced"]))
    )
