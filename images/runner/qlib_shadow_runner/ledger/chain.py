"""Read a book's chain: BOOK.json, and one file for each decision and each reconciled trading day.

Any process that can write the volume can put anything there, so that every file is read as `untrusted` reads
one, and has to have exactly its form, its number and the hash of the file before it. What does not is
LedgerDamaged, with the file and what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.ledger.entries import BookDocument
    from qlib_shadow_runner.ledger.rules import Rules


@dataclass(frozen=True)
class Entry:
    """One file of the chain."""

    kind: str
    """decision or fills."""
    day: date
    document: dict[str, Any]
    """entries.DayDocument or entries.FillDocument."""
    sha256: str
    """The hash of the file's bytes, which the next entry holds."""
    path: str
    """Below the book's folder, such as days/2026-11-30.json."""


@dataclass(frozen=True)
class Chain:
    """A whole chain that holds: by day, a day's fills before its decision."""

    book: BookDocument
    entries: tuple[Entry, ...]
    head: str
    """The hash of the last entry's bytes, or of BOOK.json while there is none."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the chain in a book's folder; raises StageError(LEDGER_DAMAGED) where it does not hold.

        FileNotFoundError where there is no book: no folder, or one in which nothing has begun.
        """
        raise NotImplementedError(folder)

    @property
    def decisions(self) -> tuple[Entry, ...]:
        """Return the decisions, by day."""
        return tuple(one for one in self.entries if one.kind == "decision")

    @property
    def fills(self) -> tuple[Entry, ...]:
        """Return the reconciled trading days, by day."""
        return tuple(one for one in self.entries if one.kind == "fills")

    @property
    def rules(self) -> tuple[Rules, ...]:
        """Return the rules of each era, the first era's first."""
        raise NotImplementedError
