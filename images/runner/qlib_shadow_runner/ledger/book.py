"""Begin a book and append to its chain: a file appears whole, under its name, and is never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from qlib_shadow_runner.ledger.chain import Entry
    from qlib_shadow_runner.ledger.entries import BookDocument


def begin(folder: Path, document: BookDocument) -> None:
    """Write BOOK.json and the folders beside it."""
    raise NotImplementedError(folder, document)


def append(folder: Path, document: Mapping[str, Any]) -> Entry:
    """Write one entry and return it; the caller holds the book's lock and has read the whole chain."""
    raise NotImplementedError(folder, document)
