"""One entry of a chain: what is asked of all days is kept, and its long parts are read again when asked for.

A decision about 5,000 instruments takes some megabytes of memory, so that a thousand of them have no room.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

LONG: Final = frozenset({"scores", "expected", "targets", "orders", "fills", "carried", "adjusted"})
"""The fields of an entry that grow with the number of instruments; of an account, its positions."""


@dataclass(frozen=True)
class Entry:
    """One file of the chain."""

    kind: str
    """decision or fills."""
    day: date
    brief: Mapping[str, Any]
    """The document without its long fields; its account has cash and nav alone."""
    sha256: str
    """The hash of the file's bytes, which the next entry holds."""
    path: str
    """Below the book's folder, such as chain/000007.json."""
    whole: Callable[[], dict[str, Any]] = field(repr=False, compare=False)
    """Reads the file again."""

    @property
    def document(self) -> dict[str, Any]:
        """Return entries.DayDocument or entries.FillDocument, read again; nothing may change it.

        Raises StageError(LEDGER_DAMAGED) where the file is another one by now.
        """
        return self.whole()

    @property
    def account(self) -> Account:
        """Return the account at the close of the day."""
        return Account.read(self.document["account"])

    @property
    def nav(self) -> float:
        """Return the account's value at the close of the day."""
        return float(self.brief["account"]["nav"])


def brief_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its long parts."""
    short = {name: value for name, value in document.items() if name not in LONG}
    account = document["account"]
    return short | {"account": {"cash": account["cash"], "nav": account["nav"]}}
