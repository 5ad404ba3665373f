"""The work of the ledger stage, in its child process: one night of a book, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract import LedgerResult
from qlib_shadow_runner.ledger.contradictions import contradictions
from qlib_shadow_runner.ledger.gap import gap_of
from qlib_shadow_runner.ledger.gates import closed
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.record import days_of, record_of
from qlib_shadow_runner.ledger.tables import refresh_tables
from qlib_shadow_runner.report.book.page import refresh_page
from qlib_shadow_runner.stages.ledger_night import RunOfTheNight

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.contract.spec.ledger import LedgerSpec
    from qlib_shadow_runner.ledger.night import Night, Recorded
    from qlib_shadow_runner.runs.request import Identity

NAMES_MAX = 500
"""Characters of the names of closed gates in the result."""


def keep_ledger(folder: Path, mount: Path, identity: Identity, spec: LedgerSpec) -> dict[str, Any]:
    """Record the night, and make the book's tables and page again; return result, message and notes."""
    run = RunOfTheNight.of(folder, mount, identity, spec)
    run.check()
    night = run.night()
    recorded = record_night(night, run.dataset)
    unkept = contradictions(night.rules.targets, night.rules.limits, len(night.scores))
    chain = recorded.chain
    faults = (refresh_tables(night.folder, chain), refresh_page(night.folder, chain))
    return {
        "result": ledger_result(night, recorded, run.closes()),
        "message": recorded.sentence,
        "reconciled": recorded.reconciled,
        "notes": [*recorded.notes, *unkept, *filter(None, faults)],
    }


def ledger_result(night: Night, recorded: Recorded, backtest: Mapping[date, float]) -> LedgerResult:
    """Return what the resource shows of the book; what is not known is absent."""
    chain = recorded.chain
    found = LedgerResult(
        book=night.folder.name,
        day=str(night.day),
        recorded="behind" if recorded.decision is None else "new" if recorded.new else "already",
        head=recorded.head,
        entries=len(chain.entries),
    )
    decision = recorded.decision
    if decision is None:
        return found
    before = max((one.day for one in chain.decisions if one.day < night.day), default=None)
    missed = sum(before is not None and before < one.day < night.day for one in chain.fills)
    gates = [*(one["gate"] for one in closed(decision["gates"])), *recorded.closed_since]
    gap = gap_of({one.day: one.brief["account"]["nav"] for one in chain.entries}, backtest)
    told = {
        "decision": decision["decision"],
        "late": decision["late"],
        "orders": len(decision["orders"]),
        "turnover": decision["figures"].get("turnover"),
        "nav": decision["account"]["nav"],
        "pnl": next((one.brief["pnl"] for one in chain.fills if str(one.day) == decision["day"]), None),
        "drawdown": decision["figures"].get("drawdown"),
        "closedGates": ",".join(dict.fromkeys(gates))[:NAMES_MAX] or None,
        "missed": missed,
        "beyondPromise": record_of(days_of(one.brief for one in chain.entries)).is_beyond,
        "tracking": gap.total if gap else None,
        "beyondTracking": gap.is_beyond if gap else None,
    }
    found.update({key: value for key, value in told.items() if value is not None})  # type: ignore[typeddict-item]
    return found
