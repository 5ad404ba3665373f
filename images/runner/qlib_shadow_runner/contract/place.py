"""A place in a document, and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qlib_shadow_runner.contract import Reason


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: the place, the rest of the sentence, and a hint for a misspelt word."""

    where: str
    what: str
    word: str = ""
    """What may be misspelt."""
    among: tuple[str, ...] = ()
    """The words that would be right there."""
    listed: bool = False
    """The sentence names them already."""
    reason: Reason = Reason.INVALID_SPEC


class Place:
    """Where a value stands in the document; collects the faults that are found there."""

    def __init__(self, where: str, faults: list[Fault] | None = None) -> None:
        self.where = where
        self.faults: list[Fault] = [] if faults is None else faults

    def inside(self, name: str) -> Place:
        """Return the place of a part; its faults are collected with the others."""
        return Place(f"{self.where}{name}", self.faults)

    def refuse(self, what: str, **more: Any) -> None:
        """Note a fault; return None, which is no value of any kind."""
        self.faults.append(Fault(self.where, what, **more))
