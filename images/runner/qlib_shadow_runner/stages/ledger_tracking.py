"""The backtest of a run against a book: what the paper account earned otherwise, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract import LOCAL_NAMESPACE, Reason
from qlib_shadow_runner.contract.spec.ledger import LedgerSpec
from qlib_shadow_runner.contract.stages import COMPLETE
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.tracking import Backtest, Tracking, track
from qlib_shadow_runner.runs.listing import STATUS_NOT_GOLDEN, all_runs
from qlib_shadow_runner.runs.request import Identity
from qlib_shadow_runner.stages.ledger_night import RunOfTheNight, incomplete
from qlib_shadow_runner.storage.untrusted import why_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.runs.listing import ListedRun
    from qlib_shadow_runner.storage.volume import Volume

WHOLE = (COMPLETE, STATUS_NOT_GOLDEN)
"""The statuses of runs whose ledger is done, too: only these have recorded in a book."""


def newest_run_of(volume: Volume, book: str) -> ListedRun | None:
    """Return the complete run of a book whose signals reach furthest; of equal ones the newest.

    A run over older data that was made later knows less of the book's days.
    """
    found = [run for run in all_runs(volume) if run.status in WHOLE and _told_by(run).get("book") == book]
    return max(found, key=lambda run: str(_told_by(run).get("day")), default=None)


def track_run(folder: Path, run: ListedRun, volume: Volume) -> Tracking | None:
    """Return the account of a book against the backtest of a run; None where they share no two days."""
    chain = Chain.read(folder)
    identity = Identity(run.run_id, "", run.run_id, LOCAL_NAMESPACE)
    found = RunOfTheNight.of(run.folder, volume.mount, identity, LedgerSpec(book=folder.name))
    try:
        return _track(chain, found)
    except OSError as error:
        raise incomplete(why_unreadable(error, run.folder)) from error


def _track(chain: Chain, run: RunOfTheNight) -> Tracking | None:
    if not chain.entries:
        return None
    account = run.account
    if account is None or "account" not in account:
        raise StageError(Reason.OUTPUT_INCOMPLETE, "the run has left no account of its backtest.")
    closes = run.closes()
    tonight = Backtest(
        days=tuple(closes),
        nav=tuple(closes.values()),
        scores=_scores(run.evidence.signals[0], chain.entries[0].day),
        costs=run.rules.costs,
        strategy=run.rules.targets,
        fill_at="open" if run.backtested["exchange"]["deal_price"] == "open" else "close",
    )
    return track(chain.entries, chain.rules[0], run.quotes, tonight)


def _scores(signals: pd.DataFrame, first: date) -> dict[date, Mapping[str, float]]:
    """Return the signals of each day from the first decision on, best first."""
    rows = signals[signals["date"].dt.date >= first].sort_values(["date", "rank"])
    return {
        day.date(): dict(zip(of_day["instrument"], of_day["score"].tolist(), strict=True))
        for day, of_day in rows.groupby("date")
    }


def _told_by(run: ListedRun) -> Mapping[str, Any]:
    """Return what a run says it has recorded: the book, and the day, which is the last of its signals."""
    report = run.metadata.get("ledger")
    result = report.get("result") if isinstance(report, dict) else None
    return result if isinstance(result, dict) else {}
