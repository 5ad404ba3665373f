"""The kill switch of a book: a file HALT in its folder, which every night obeys.

    HALT                      {"state": "HALTED" or "REDUCING", "why": text, "at": moment}
    halts/<moment>.json       the same with resumedAt, resumedWhy and resumedDay, after it was lifted

A HALT with any other content, or one that cannot be read, counts as HALTED: no doubt lets an order pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

HALTED = "HALTED"
REDUCING = "REDUCING"


@dataclass(frozen=True)
class Halt:
    """A kill switch: one that is on, or one that was."""

    state: str
    """HALTED or REDUCING; empty for a resume without a HALT, which begins the peak anew."""
    why: str
    at: datetime | None
    """In UTC; None where the file does not say it."""
    resumed_at: datetime | None = None
    resumed_why: str = ""
    resumed_day: date | None = None
    """The last day of the chain when it was lifted: the peak counts from there."""


def halt_of(folder: Path) -> Halt | None:
    """Return the kill switch that is on, or None."""
    raise NotImplementedError(folder)


def halt(folder: Path, why: str, *, reducing: bool, now: datetime) -> Halt:
    """Put the kill switch on, in place of one that is on; the book must exist."""
    raise NotImplementedError(folder, why, reducing, now)


def resume(folder: Path, why: str, now: datetime) -> Halt:
    """Lift the kill switch, and let the peak from which drawdown counts begin anew."""
    raise NotImplementedError(folder, why, now)


def history(folder: Path) -> tuple[Halt, ...]:
    """Return those that were lifted, the first first; files of another form are left out."""
    raise NotImplementedError(folder)
