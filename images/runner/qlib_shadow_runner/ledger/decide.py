"""A decision: the gates on facts, the plan, the gates on its figures, and the entry that records them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict

from qlib_shadow_runner.contract.strict_json import finite
from qlib_shadow_runner.ledger import notes
from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.chain import DECISION
from qlib_shadow_runner.ledger.entries import SCHEMA, DayDocument, Decision, written
from qlib_shadow_runner.ledger.gates import Facts, ask, closed, decision_of
from qlib_shadow_runner.ledger.halts import peaks_begun
from qlib_shadow_runner.ledger.plan import Plan, make_plan, only_sales
from qlib_shadow_runner.ledger.sessions import Sessions, deadline
from qlib_shadow_runner.texts import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qlib_shadow_runner.ledger.brought import Night
    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.entries import GateAnswer
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

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
    """Of the worst trading day since the last decision; days without one cannot hide a loss."""

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
        returns = [one.brief["dayReturn"] for one in chain.fills if one.day > chain.decisions[-1].day]
        return cls(last.account, since, drawdown, min(returns, default=None))


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


def late_after(rules: Rules, due: date, sessions: Sessions, *, synthetic: bool) -> datetime | None:
    """Return the moment after which a decision whose orders are due on a day is Late.

    Without `decideBefore` it is that of the price at which they fill: who knows it decides with hindsight.
    Days of synthetic data are no days of an exchange, so that it is asked of none of them.
    """
    if rules.decide_before is not None:
        return deadline(rules.decide_before, due)
    if synthetic:
        return None
    opens, closes = sessions.span(due)
    return opens if rules.fill_at == "open" else closes


def planned(
    account: Account,
    signals: tuple[Mapping[str, float], Mapping[str, float]],
    rules: Rules,
    quotes: Quotes,
    *,
    day: date,
    book: str,
    sales: bool,
) -> Plan:
    """Return the plan of a day from its scores and expected returns, with slices where the rules ask."""
    hours = None
    if rules.slices > 1:
        sessions = Sessions.of(rules.calendar)
        hours = sessions.hours(next_trading_day(day, quotes, sessions))
    plan = make_plan(account, *signals, rules, quotes, day=day, book=book, hours=hours)
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
    signals, book = (night.scores, night.expected), night.folder.name
    weighed = weigh(
        facts,
        rules,
        lambda sales: planned(account, signals, rules, quotes, day=day, book=book, sales=sales),
    )
    due = next_trading_day(day, quotes, sessions)
    before = late_after(rules, due, sessions, synthetic=night.facts.synthetic)
    is_late = before is not None and now > before
    is_new = chain.rules[-1] != rules
    planned_orders = weighed.plan.orders if weighed.plan and weighed.decision is not Decision.HELD else ()
    priced = {name: held.priced for name, held in account.holdings.items()}
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
        expected={name: one for name, one in night.expected.items() if math.isfinite(one)},
        **outcome(weighed, standing),
        promise=dict(night.promise),
        notes=[
            *(weighed.plan.notes if weighed.plan else ()),
            *notes.of_nights(chain, day, quotes, is_new=is_new),
            *notes.of_holdings(chain, account, planned_orders, rules),
        ],
    )
    cast_document: Any = finite(document)
    said = [_sentence(cast_document, due, notes.held_nights(chain)), *notes.without_price(chain, priced)]
    return Decided(cast_document, "; ".join(said))


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


def _sentence(document: DayDocument, due: date, held_before: int) -> str:
    """Return what was decided, for the run's message."""
    day, count = document["day"], len(document["orders"])
    held = notes.for_nights(held_before + 1)
    said = {
        Decision.DECIDED: f"decided {count} orders on {day}, due on {due}",
        Decision.REDUCING: f"REDUCING on {day}: {count} sales, due on {due}",
        Decision.HELD: f"HELD on {day}{f' ({held})' if held else ''}, positions stay",
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
