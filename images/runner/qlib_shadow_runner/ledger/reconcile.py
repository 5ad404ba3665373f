"""A trading day of a book: the orders that are due on it, at its real prices, as an entry of the chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.account import Fill, Order
from qlib_shadow_runner.ledger.chain import DECISION, RECONCILED
from qlib_shadow_runner.ledger.entries import SCHEMA, Decision, FillDocument
from qlib_shadow_runner.ledger.halts import HALTED, state_at
from qlib_shadow_runner.ledger.settle import settle_day

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.sessions import Sessions

STOPPED: Final = "the book was "
"""How the `why` of an order begins that the kill switch has stopped."""


@dataclass(frozen=True)
class Due:
    """The orders that are due on a trading day."""

    decision: str | None
    """The day of their decision; None where none are due."""
    orders: tuple[Order, ...]


def due_after(chain: Chain) -> Due:
    """Return what is due on the trading day after the chain's last entry.

    That are the orders of its decision, or those that are carried until there is another one: a Held night
    decides nothing, and leaves them due. A Late decision's orders never are.
    """
    last = chain.entries[-1]
    if last.kind == DECISION and last.brief["decision"] != Decision.HELD:
        written = [] if last.brief["late"] else last.document["orders"]
    else:
        written = chain.fills[-1].document["carried"] if chain.fills else []
    orders = tuple(map(Order.read, written))
    decided = (one for one in reversed(chain.decisions) if one.brief["decision"] != Decision.HELD)
    return Due(next(decided).day.isoformat() if orders else None, orders)


def reconcile(
    chain: Chain,
    day: date,
    quotes: Quotes,
    *,
    run: Mapping[str, Any],
    benchmark: float | None,
    halts: Sequence[Halt],
    sessions: Sessions,
) -> FillDocument:
    """Return the entry of a trading day, which is the one after the chain's last entry."""
    rules, due = chain.rules[-1], due_after(chain)
    stopped: tuple[Fill, ...] = ()
    if due.orders and halts:
        opens, closes = sessions.span(day)
        stopped = stopped_by(state_at(halts, opens if rules.fill_at == "open" else closes), due.orders)
    return settled_document(chain, day, quotes, due, stopped, run=run, benchmark=benchmark)


def stopped_by(halt: Halt | None, orders: Sequence[Order]) -> tuple[Fill, ...]:
    """Return the fills, of nothing, of the orders that a kill switch has stopped before they were due."""
    if halt is None:
        return ()
    why = f"{STOPPED}{halt.state}: {halt.why}"
    return tuple(
        Fill(
            order=one.id,
            instrument=one.instrument,
            side=one.side,
            shares=0.0,
            amount=0.0,
            price=one.price,
            value=0.0,
            cost=0.0,
            shortfall=0.0,
            why=why,
        )
        for one in orders
        if halt.state == HALTED or one.side == "buy"
    )


def settled_document(
    chain: Chain,
    day: date,
    quotes: Quotes,
    due: Due,
    stopped: Sequence[Fill],
    *,
    run: Mapping[str, Any],
    benchmark: float | None,
) -> FillDocument:
    """Return the entry of a day on which some of the due orders were stopped."""
    last, ids = chain.entries[-1], {one.order for one in stopped}
    left = [one for one in due.orders if one.id not in ids]
    settled = settle_day(last.account, left, chain.rules[-1], quotes, before=last.day, day=day)
    return FillDocument(
        schema=SCHEMA,
        kind=RECONCILED,
        day=day.isoformat(),
        previous=chain.head,
        number=len(chain.entries) + 1,
        run=dict(run),
        decision=due.decision,
        fills=[one.document() for one in (*stopped, *settled.fills)],
        carried=[one.document() for one in settled.carried],
        adjusted=[dict(one) for one in settled.adjusted],
        account=settled.account.document(),
        costs=settled.costs,
        traded=settled.traded,
        pnl=settled.pnl,
        dayReturn=settled.day_return,
        shortfall=settled.shortfall,
        benchmark=benchmark if benchmark is not None and math.isfinite(benchmark) else None,
        notes=list(settled.notes),
    )
