"""A decision: the gates on facts, the plan, the gates on its figures, and the entry that records them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, TypedDict

from qlib_shadow_runner.contract.strict_json import finite
from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.chain import DECISION
from qlib_shadow_runner.ledger.entries import SCHEMA, DayDocument, Decision
from qlib_shadow_runner.ledger.gates import Facts, ask, closed, decision_of
from qlib_shadow_runner.ledger.halts import peaks_begun
from qlib_shadow_runner.ledger.plan import Plan, make_plan, only_sales
from qlib_shadow_runner.ledger.sessions import deadline
from qlib_shadow_runner.texts import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qlib_shadow_runner.ledger.brought import Night
    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.entries import GateAnswer
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules
    from qlib_shadow_runner.ledger.sessions import Sessions

FIGURES: Final = ("turnover", "gross", "names", "maxWeight", "participation")
"""Of a plan, in the order in which they are recorded."""
SHOWN: Final = 3
"""Closed gates that a sentence quotes."""


@dataclass(frozen=True)
class Decided:
    """A decision that is not written yet."""

    document: DayDocument
    sentence: str


@dataclass(frozen=True)
class Standing:
    """Where the account stands at the close of the day of a decision."""

    account: Account
    peak_since: date
    drawdown: float | None
    day_return: float | None

    @classmethod
    def of(cls, chain: Chain, day: date, resets: Iterable[date]) -> Standing:
        """Return where the chain stands; its last entry is the day's fills, or it has none.

        The peak counts from the first decision, or from the last day that the chain had when the book was
        last resumed with a new peak.
        """
        if not chain.entries:
            return cls(Account(cash=chain.book["capital"]), day, 0.0, None)
        last, before = chain.entries[-1], chain.decisions[-1].brief["peakSince"]
        since = max(date.fromisoformat(before), *(one for one in resets if one <= last.day), date.min)
        navs = [one.nav for one in chain.entries if one.day >= since]
        peak = max(navs)
        drawdown = 1 - navs[-1] / peak if peak > 0 else None
        return cls(last.account, since, drawdown, last.brief["dayReturn"])


@dataclass(frozen=True)
class Weighed:
    """What gates and plan come to."""

    answers: list[GateAnswer]
    decision: Decision
    plan: Plan | None
    """None where the gates on facts hold the day, so that none was made."""


def weigh(facts: Facts, rules: Rules, plan: Callable[[bool], Plan]) -> Weighed:
    """Return what the gates say; the plan is made, of sales alone where that is asked, if it can matter."""
    answers = ask(facts, rules, of_plan=False)
    decision = decision_of(answers)
    if decision is Decision.HELD:
        return Weighed(answers, decision, None)
    reducing = decision is Decision.REDUCING
    found = plan(reducing)
    answers += ask(replace(facts, only_sales=reducing, figures=found.figures), rules, of_plan=True)
    return Weighed(answers, decision_of(answers), found)


def next_trading_day(day: date, quotes: Quotes, sessions: Sessions) -> date:
    """Return the day on which the orders of a day are due: the data's next one, or the next session."""
    following = quotes.calendar[quotes.index(day) + 1 :][:1]
    return following[0] if following else sessions.next_session(day)


def planned(
    account: Account,
    night: Night,
    quotes: Quotes,
    sessions: Sessions,
    *,
    sales: bool,
) -> Plan:
    """Return the plan of a night."""
    rules, due = night.rules, next_trading_day(night.day, quotes, sessions)
    plan = make_plan(
        account,
        night.scores,
        night.expected,
        rules,
        quotes,
        day=night.day,
        book=night.folder.name,
        hours=sessions.hours(due) if rules.slices > 1 else None,
    )
    return only_sales(plan) if sales else plan


def decide(
    chain: Chain,
    night: Night,
    quotes: Quotes,
    sessions: Sessions,
    *,
    halt: Halt | None,
    lifted: Sequence[Halt],
    now: datetime,
) -> Decided:
    """Return the decision of the night's day; the chain has come to that day."""
    rules, day = night.rules, night.day
    standing = Standing.of(chain, day, peaks_begun(lifted))
    facts = Facts(
        run=night.facts,
        halt=halt.state if halt else None,
        halt_why=halt.why if halt else "",
        data_age=sessions.closed_since(day, now),
        drawdown=standing.drawdown,
        day_return=standing.day_return,
        holds=bool(standing.account.holdings),
    )
    account = standing.account
    weighed = weigh(facts, rules, lambda sales: planned(account, night, quotes, sessions, sales=sales))
    due = next_trading_day(day, quotes, sessions)
    before = deadline(rules.decide_before, due) if rules.decide_before else None
    is_late = before is not None and now > before
    is_new = chain.rules[-1] != rules
    document = DayDocument(
        schema=SCHEMA,
        kind=DECISION,
        day=day.isoformat(),
        previous=chain.head,
        number=len(chain.entries) + 1,
        run=dict(night.run),
        era=len(chain.rules) + is_new,
        rules=rules.document() if is_new else None,
        rulesSha256=rules.sha256 if is_new else chain.rules_sha256,
        recordedAt=written(now),
        decideBefore=written(before) if before else None,
        late=is_late,
        decision=str(weighed.decision),
        gates=weighed.answers,
        scores=dict(night.scores),
        expected=dict(night.expected),
        **outcome(weighed, standing),
        promise=dict(night.promise),
        notes=[*(weighed.plan.notes if weighed.plan else ()), *_notes(chain, day, quotes, is_new=is_new)],
    )
    cast_document: Any = finite(document)
    return Decided(cast_document, _sentence(cast_document, due))


class Outcome(TypedDict):
    """The fields of a decision that follow from gates, plan and account."""

    targets: dict[str, float]
    orders: list[dict[str, Any]]
    account: dict[str, Any]
    figures: dict[str, float | None]
    peakSince: str


def outcome(weighed: Weighed, standing: Standing) -> Outcome:
    """Return what the decision leads to; a day that is held keeps what the account has."""
    plan, account = weighed.plan, standing.account.document()
    is_held = weighed.decision is Decision.HELD or plan is None
    held = {one["instrument"]: one["weight"] for one in account["positions"]}
    return Outcome(
        targets=held if is_held or plan is None else dict(plan.targets),
        orders=[] if is_held or plan is None else [one.document() for one in plan.orders],
        account=account,
        figures={
            **{name: plan.figures.get(name) if plan else None for name in FIGURES},
            "drawdown": standing.drawdown,
            "dayReturn": standing.day_return,
        },
        peakSince=standing.peak_since.isoformat(),
    )


def written(moment: datetime) -> str:
    """Return a moment in UTC as documents have it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _notes(chain: Chain, day: date, quotes: Quotes, *, is_new: bool) -> list[str]:
    """Return what the decision says of the nights before it."""
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


def _sentence(document: DayDocument, due: date) -> str:
    """Return what was decided, for the run's message."""
    day, count = document["day"], len(document["orders"])
    said = {
        Decision.DECIDED: f"decided {count} orders on {day}, due on {due}",
        Decision.REDUCING: f"REDUCING on {day}: {count} sales, due on {due}",
        Decision.HELD: f"HELD on {day}, positions stay",
    }[Decision(document["decision"])]
    turnover = document["figures"]["turnover"]
    if turnover is not None and count:
        said += f" (turnover {percent(turnover)})"
    return said + why_not_all(document)


def why_not_all(document: DayDocument) -> str:
    """Return why not all orders of a decision are filled: the closed gates, and that it is late."""
    said = "".join(f"; {one['gate']}: {one['sentence']}" for one in closed(document["gates"])[:SHOWN])
    if document["late"]:
        said += f"; Late: recorded after {document['decideBefore']}, so that nothing of it is ever filled"
    return said
