"""How many days around a day its features and its label need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Reach:
    """The trading days that a day's values need before it and after it."""

    back: int = 0
    ahead: int = 0

    @classmethod
    def widest(cls, several: Iterable[Reach]) -> Reach:
        """Return the smallest reach that covers all of them."""
        found = list(several)
        return cls(max((one.back for one in found), default=0), max((one.ahead for one in found), default=0))


ALPHA158: Final = Reach(back=60, ahead=2)
"""Qlib's usual features, of which the longest look back 60 days, and its label, which looks ahead two."""
