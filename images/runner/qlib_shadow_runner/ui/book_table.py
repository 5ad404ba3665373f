"""The books of a volume as the pages show them: kept in memory, and read again when their files change."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.entries import BOOK_FILE, CHAIN, HALT_FILE, HALTS, LEDGERS
from qlib_shadow_runner.ledger.overview import Overview, books
from qlib_shadow_runner.report.book.page import BookView, book_view
from qlib_shadow_runner.runs.listing import artifacts_root
from qlib_shadow_runner.storage.untrusted import status_of, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

WATCHED: Final = ("", *(f"/{name}" for name in (BOOK_FILE, CHAIN, HALTS, HALT_FILE)))
"""What changes when a night or a person writes to a book; an entry that is edited in place changes none."""
FRESH_SECONDS: Final = 600.0
"""After so long a book is read again, whether or not this changed; one of four years takes seconds."""
MOST_BOOKS: Final = 200
"""More books than any volume has are not read for one page."""

Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass
class BookTable:
    """The books of one volume."""

    volume: Volume
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: dict[str, tuple[Signature, float, BookView]] = field(default_factory=dict)

    @property
    def ledgers(self) -> Path:
        """Return the folder of all books."""
        return artifacts_root(self.volume) / LEDGERS

    def names(self) -> list[str]:
        """Return the names of all books; none where the folder cannot be read, which is a fault."""
        return self._listed()[0]

    @property
    def fault(self) -> str | None:
        """Return why the books cannot be listed, where they cannot."""
        return self._listed()[1]

    def _listed(self) -> tuple[list[str], str | None]:
        try:
            return books(self.ledgers)[:MOST_BOOKS], None
        except OSError as error:
            return [], f"the books cannot be listed: {why_unreadable(error, self.volume.mount)}"

    def view(self, name: str) -> BookView | None:
        """Return everything that is shown of a book; None where there is no such book."""
        return self._view(name) if name in self.names() else None

    def overviews(self) -> list[Overview]:
        """Return what is to be said of each book."""
        return [self._view(name).overview for name in self.names()]

    def _view(self, name: str) -> BookView:
        with self._lock:  # a chain is read once, however many ask for it
            signature, now = self._signature(name), self.clock()
            kept = self._kept.get(name)
            if kept is None or kept[0] != signature or now - kept[1] > FRESH_SECONDS:
                kept = self._kept[name] = (signature, now, book_view(self.ledgers / name))
            return kept[2]

    def _signature(self, name: str) -> Signature:
        return tuple(_stamp(self.ledgers, f"{name}{part}") for part in WATCHED)


def _stamp(root: Path, name: str) -> tuple[int, int, int] | None:
    try:
        status = status_of(root, name)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
