"""How many days what is learned looks back and ahead of the day it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Reach:
    """Trading days that are needed before a day, and after it."""

    back: int = 0
    ahead: int = 0

    @classmethod
    def widest(cls, several: Iterable[Reach]) -> Reach:
        """Give the reach that covers them all."""
        found = list(several)
        return cls(max((one.back for one in found), default=0), max((one.ahead for one in found), default=0))


ALPHA158: Final = Reach(back=60, ahead=2)
"""Qlib's usual features, of which the longest look back 60 days, and its label, which looks ahead two."""
