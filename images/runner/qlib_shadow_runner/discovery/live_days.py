"""The live days of a run, and the days that a model for them may learn from.

    … train … valid … test ……………………………… | d-1   d | the outcome is not known yet
      the live model learns from all of these ↑

A live day is one of whose outcome nothing has happened when the data ends: its label begins at the last
close or later. The live model learns through the last day whose label is whole. Where a label spans several
days, days lie between the two of whose outcome a part has happened. Their signals are the evaluated model's,
because the live model has seen a part of what they are judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.contract.spec.workflow import Segments

NO_LIVE_DAY: Final = "test ends before the days whose outcome is not known yet"


@dataclass(frozen=True)
class LiveDays:
    """What the live model learns from, and the days of which it makes the signals; both ends are included."""

    train: tuple[date, date]
    days: tuple[date, date]

    @classmethod
    def of(cls, known: Sequence[date], segments: Segments, *, ahead: int, horizon: int) -> LiveDays | None:
        """Return them for the days until the universe's last, or None where test has no live day."""
        first, last = segments.test
        begins = len(known) - max(1, ahead - horizon + 1)
        learnt = len(known) - 1 - ahead
        if min(begins, learnt) < 0 or last < known[begins] or known[learnt] <= segments.valid[1]:
            return None
        return cls((segments.train[0], known[learnt]), (max(first, known[begins]), last))
