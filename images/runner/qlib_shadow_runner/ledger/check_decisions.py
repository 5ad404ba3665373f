"""Whether a decision follows from the chain before it, its run's signals, the kill switch and the prices."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.account import Order
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.decide import Standing, late_after, next_trading_day, outcome, planned, weigh
from qlib_shadow_runner.ledger.differences import differences
from qlib_shadow_runner.ledger.evidence import Difference, is_rescaled, told, worth
from qlib_shadow_runner.ledger.gates import NO_HALT, SYNTHETIC, Facts, RunFacts
from qlib_shadow_runner.ledger.plan import Plan
from qlib_shadow_runner.ledger.recorded_prices import plan_at_recorded_prices
from qlib_shadow_runner.ledger.restated import at_restated_prices
from qlib_shadow_runner.ledger.sessions import DAY, SATURDAY, Sessions
from qlib_shadow_runner.ledger.sums import of_account, of_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qlib_shadow_runner.ledger.entry import Entry
    from qlib_shadow_runner.ledger.evidence import Known
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

OF_RUN: Final = {
    "golden": "golden",
    "signals": "signals",
    "modelAge": "model_age_days",
    "liveIc": "live_ic",
    "drift": "drift",
    "coverage": "coverage",
}
"""The gates whose figures come from the run, and the facts that these are."""
NIGHT: Final = timedelta(hours=6)
"""For how long, at most, a night goes on after its moment: the kill switch is asked at its end."""


def differences_of_decision(
    before: Chain, entry: Entry, following: Entry | None, known: Known
) -> Iterator[Difference]:
    """Yield what does not follow."""
    document = entry.document
    rules = Chain(before.book, (*before.entries, entry), entry.sha256).rules[-1]
    standing = Standing.of(before, entry.day, [date.fromisoformat(document["peakSince"])])
    book = before.book["book"]
    yield from told(of_account(document["account"]))
    yield from told(differences(document["account"], standing.account.document(), "account"))
    yield from told(of_orders(document["orders"], book=book, day=entry.day, rules=document["rulesSha256"]))
    yield from _of_lateness(entry, following, rules, known.exact)
    yield from _of_age(entry, rules)
    yield from _of_halt(document, known.halts)
    yield from _of_signals(document, known)

    def held_to(plan: Callable[[bool], Plan], rescaled: float | None) -> Iterator[Any]:
        return _differences(document, standing, rules, plan, rescaled)

    if known.exact is not None and known.exact.has(entry.day):
        exact = known.exact
        yield from told(held_to(lambda sales: _plan(book, entry, rules, standing, exact, sales=sales), None))
        return
    yield from told(
        held_to(lambda sales: _recorded(book, document, rules, standing, sales=sales), worth(document))
    )
    other = known.other
    if other is None:
        return
    if not other.has(entry.day):
        yield Difference("day", document["day"], f"no trading day {entry.day} of the dataset", of_data=True)
        return
    rescaled = worth(document) if is_rescaled(document, other) else None
    found = held_to(lambda sales: _plan(book, entry, rules, standing, other, sales=sales), rescaled)
    yield from told(found, of_data=True)


def _differences(
    document: dict[str, Any],
    standing: Standing,
    rules: Rules,
    plan: Callable[[bool], Plan],
    rescaled: float | None,
) -> Iterator[tuple[str, Any, Any]]:
    weighed = weigh(_facts(document, standing), rules, plan)
    answers = [{**one, "sentence": ""} for one in weighed.answers]
    recorded = {**document, "gates": [{**one, "sentence": ""} for one in document["gates"]]}
    expected = {
        **document,
        "decision": str(weighed.decision),
        "gates": answers,
        **outcome(weighed, standing),
    }
    yield from differences(recorded, expected, rescaled=rescaled)


def _of_lateness(
    entry: Entry, following: Entry | None, rules: Rules, exact: Quotes | None
) -> Iterator[Difference]:
    """Yield whether the deadline is that of the day of the fill, and whether the decision was late."""
    document, written = entry.document, entry.document["decideBefore"]
    is_late = False
    if written is None:
        if rules.decide_before is not None:
            yield Difference("decideBefore", written, rules.decide_before)
    else:
        moment, sessions = datetime.fromisoformat(written), Sessions.of(rules.calendar)

        def ends(day: date) -> datetime | None:
            return late_after(rules, day, sessions, synthetic=False)

        days = _fill_days(entry, following, rules, exact)
        near = [moment.date() + DAY * number for number in (-1, 0, 1)]
        there = next((day for day in near if ends(day) == moment), None)
        if there is None:
            yield Difference("decideBefore", written, rules.decide_before or "the moment of a price")
        elif there not in days:
            # A session that was known then, and did not take place.
            is_calendar = entry.day < there < min(days) and there.weekday() < SATURDAY
            wanted = f"{rules.decide_before or 'the price'} of {min(days)}"
            yield Difference("decideBefore", written, wanted, is_calendar)
        is_late = datetime.fromisoformat(document["recordedAt"]) > moment
    if document["late"] is not is_late:
        yield Difference("late", document["late"], is_late)


def _fill_days(entry: Entry, following: Entry | None, rules: Rules, exact: Quotes | None) -> set[date]:
    """Return the days on which the orders may have been due: the calendar's, and the one that came."""
    sessions = Sessions.of(rules.calendar)
    if exact is not None and exact.has(entry.day):
        return {next_trading_day(entry.day, exact, sessions)}
    return {sessions.next_session(entry.day), *([following.day] if following else [])}


def _of_age(entry: Entry, rules: Rules) -> Iterator[Difference]:
    """Yield the age of the data, which follows from the moment of the record and the exchange's calendar."""
    recorded = next((one["figure"] for one in entry.document["gates"] if one["gate"] == "dataAge"), None)
    if recorded is None or recorded == SYNTHETIC:
        return
    now = datetime.fromisoformat(entry.document["recordedAt"])
    expected = Sessions.of(rules.calendar).closed_since(entry.day, now)
    if recorded != expected:
        days = (entry.day + DAY * number for number in range(1, (now.date() - entry.day).days + 1))
        most = sum(one.weekday() < SATURDAY for one in days)
        yield Difference("gates: the figure of dataAge", recorded, expected, expected < recorded <= most)


def _of_halt(document: Mapping[str, Any], halts: Sequence[Halt]) -> Iterator[Difference]:
    """Yield a kill switch of which nothing tells, or one that was on and is not recorded."""
    recorded = next((one["figure"] for one in document["gates"] if one["gate"] == "halt"), NO_HALT)
    now = datetime.fromisoformat(document["recordedAt"])
    if recorded == NO_HALT:
        on = [
            one.state
            for one in halts
            if one.at is not None and one.holds_at(now) and one.holds_at(now + NIGHT)
        ]
        if on:
            yield Difference("gates: the figure of halt", recorded, min(on))
        return
    possible = (
        one.state == recorded
        and (one.at is None or one.at <= now + NIGHT)
        and (one.resumed_at is None or one.resumed_at >= now)
        for one in halts
    )
    if not any(possible):
        yield Difference("gates: the figure of halt", recorded, NO_HALT)


def _of_signals(document: Mapping[str, Any], known: Known) -> Iterator[Difference]:
    scores = list(document["scores"].values())
    if scores != sorted(scores, reverse=True):
        yield Difference("scores", "in another order", "best first")
    if known.signals is None:
        return
    for name, expected in zip(("scores", "expected"), known.signals, strict=True):
        if document[name] != dict(expected):
            yield Difference(name, "others", f"those of the run {document['run']['runId']}")


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


def _recorded(
    book: str, document: Mapping[str, Any], rules: Rules, standing: Standing, *, sales: bool
) -> Plan:
    """Return the plan at the prices that the decision records; as recorded where these are too few."""
    found = plan_at_recorded_prices(standing.account, document, rules, book, sales=sales)
    if found is None:
        return Plan(document["targets"], tuple(map(Order.read, document["orders"])), document["figures"])
    return found


def _plan(book: str, entry: Entry, rules: Rules, standing: Standing, quotes: Quotes, *, sales: bool) -> Plan:
    """Return the plan that follows from recorded signals and prices."""
    document, account = entry.document, at_restated_prices(standing.account, quotes).account
    signals = document["scores"], document["expected"]
    return planned(account, signals, rules, quotes, day=entry.day, book=book, sales=sales)
