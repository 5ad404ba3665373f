"""Where a value is in a manifest, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qlib_shadow_runner.contract import Reason


@dataclass(frozen=True)
class Fault:
    """One error in a document: the place, the rest of the sentence, and suggestions for a misspelt word."""

    where: str
    what: str
    word: str = ""
    """The word that may be misspelt."""
    among: tuple[str, ...] = ()
    """The words that are valid there."""
    listed: bool = False
    """Whether the sentence lists the valid words already."""
    reason: Reason = Reason.INVALID_SPEC


class Place:
    """The place of a value in the document, with the list that collects all faults."""

    def __init__(self, where: str, faults: list[Fault] | None = None) -> None:
        self.where = where
        self.faults: list[Fault] = [] if faults is None else faults

    def inside(self, name: str) -> Place:
        """Return the place of a part, which shares this place's list of faults."""
        return Place(f"{self.where}{name}", self.faults)

    def refuse(self, what: str, **more: Any) -> None:
        """Record a fault and return None."""
        self.faults.append(Fault(self.where, what, **more))
