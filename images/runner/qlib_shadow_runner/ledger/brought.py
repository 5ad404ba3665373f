"""What a run brings to its book: one night."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from qlib_shadow_runner.ledger.gates import RunFacts
    from qlib_shadow_runner.ledger.rules import Rules


def utc_now() -> datetime:
    """Return the moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Night:
    """What a run brings to its book."""

    folder: Path
    """The book's folder, such as …/ledgers/us-shadow; it need not exist. Its name is the book's."""
    namespace: str
    capital: float | None
    """The spec's, or the book's share of the portfolio's; None where neither is there."""
    share: float | None
    """The book's share in the portfolio file, where the capital comes from there; such a book keeps the
    capital with which it began, whatever the file says later."""
    rules: Rules
    run: Mapping[str, Any]
    """DayDocument.run: runId, uid, signalsSha256, modelSha256, configHash, datasetFingerprint, dataset,
    live, benchmark."""
    day: date
    """The last day of the run's signals."""
    scores: Mapping[str, float]
    """The day's signals, best first."""
    facts: RunFacts
    expected: Mapping[str, float] = field(default_factory=dict)
    """The expected returns of the day, where they are known."""
    benchmark: Mapping[date, float] = field(default_factory=dict)
    """The benchmark's return of each day of the run's backtest."""
    promise: Mapping[str, float | None] = field(default_factory=dict)
    """DayDocument.promise: mean, deviation and days."""
    clock: Callable[[], datetime] = utc_now
    """The moment in UTC; asked once, under the lock."""
