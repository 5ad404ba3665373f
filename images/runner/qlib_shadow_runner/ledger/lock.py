"""One writer at a time for a book, across processes, pods and nodes: the lock of storage/lock.py.

    .us-shadow.lock, .us-shadow.lease    beside the book's folder

The lock saves work and orders the nights. That an entry is never replaced, and that a head never has two
successors, rests on the link of its number, which succeeds for one writer alone. A night asks before each
entry whether it still holds the lock; an attempt of a run that goes on beside a later one can only write the
same bytes, or find the number taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.storage.lock import WaitOptions, locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

WAIT_SECONDS: Final = 300.0
"""A night takes seconds; so long a wait means that its holder hangs.

A third attempt has to end by itself within the stage's deadline, so that it still says who holds the book.
"""


def locked_book(folder: Path, limit: float = WAIT_SECONDS) -> AbstractContextManager[Callable[[], None]]:
    """Hold the book's lock, after waiting for it; yield a check that raises once the lock is lost.

    LedgerLocked where another holds it for longer than the limit, in seconds.
    """
    return locked(folder, WaitOptions(limit=limit, doing="writing the book", reason=Reason.LEDGER_LOCKED))
