"""Whether a reconciled trading day follows from the entry before it, the kill switches and the prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.ledger.account import Fill
from qlib_shadow_runner.ledger.differences import differences
from qlib_shadow_runner.ledger.entries import HALTS
from qlib_shadow_runner.ledger.evidence import Difference, is_rescaled, told, worth
from qlib_shadow_runner.ledger.halts import state_at
from qlib_shadow_runner.ledger.reconcile import STOPPED, due_after, settled_document, stopped_by
from qlib_shadow_runner.ledger.sessions import Sessions
from qlib_shadow_runner.ledger.sums import of_trading_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.entry import Entry
    from qlib_shadow_runner.ledger.evidence import Known
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.reconcile import Due


def differences_of_day(before: Chain, entry: Entry, known: Known) -> Iterator[Difference]:
    """Yield what does not follow."""
    document, last = entry.document, before.entries[-1]
    due = due_after(before)
    if document["decision"] != due.decision:
        yield Difference("decision", document["decision"], due.decision)
    yield from told(of_trading_day(document, last.account, due.orders, before.rules[-1].costs))
    fills = [Fill(**one) for one in document["fills"]]
    stopped = [one for one in fills if one.why is not None and one.why.startswith(STOPPED)]
    yield from _of_stops(stopped, before, entry, due, known.halts)
    quotes, of_data = known.quotes, known.exact is None
    if quotes is None:
        return
    missing = [day for day in (last.day, entry.day) if not quotes.has(day)]
    following = None if missing else quotes.calendar[quotes.index(last.day) + 1]
    if missing or following != entry.day:
        said = f"{following}, the dataset's next trading day after {last.day},"
        if missing:
            said = f"no trading day {missing[0]} of the dataset"
        yield Difference("day", document["day"], said, of_data)
        return
    run, benchmark = document["run"], document["benchmark"]
    name = run.get("benchmark")
    if known.exact is not None and isinstance(name, str) and benchmark is not None:
        known_return = quotes.day_return(name, quotes.index(entry.day))
        benchmark = benchmark if known_return is None else known_return
    expected = settled_document(before, entry.day, quotes, due, stopped, run=run, benchmark=benchmark)
    rescaled = of_data and any(is_rescaled(one, quotes) for one in (last.document, document))
    found = differences(document, expected, rescaled=worth(document) if rescaled else None)
    yield from told(found, of_data=of_data)


def _of_stops(
    stopped: Sequence[Fill], before: Chain, entry: Entry, due: Due, halts: Sequence[Halt]
) -> Iterator[Difference]:
    """Yield the orders that a kill switch should have stopped, or that none has."""
    if not stopped and not (due.orders and halts):
        return
    rules = before.rules[-1]
    moment = Sessions.of(rules.calendar).span(entry.day)[0 if rules.fill_at == "open" else 1]
    # One that does not say since when it was on may or may not have been on.
    asked = (tuple(one for one in halts if one.at is not None), halts)
    expected = [_named(stopped_by(state_at(some, moment), due.orders)) for some in asked]
    found = _named(stopped)
    if found not in expected:
        yield Difference(
            f"fills that the kill switch has stopped, of which {HALTS} tells,", found, expected[0]
        )


def _named(fills: Sequence[Fill]) -> list[list[Any]]:
    """Return the orders that were stopped, and the state of the kill switch."""
    return sorted([one.order, str(one.why).removeprefix(STOPPED).partition(":")[0]] for one in fills)
