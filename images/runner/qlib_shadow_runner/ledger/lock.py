"""One writer at a time for a book, across processes, pods and nodes; see storage/lock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


def locked_book(folder: Path, limit: float = 600.0) -> AbstractContextManager[Callable[[], None]]:
    """Hold the book's lock, after waiting for it; yield a check that raises once the lock is lost.

    LedgerLocked where another holds it for longer than the limit, in seconds.
    """
    raise NotImplementedError(folder, limit)
