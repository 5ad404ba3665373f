"""How far the paper account has moved away from tonight's backtest, and how far chance would take it.

`tracking.py` splits the same difference into its parts, for which it computes every day again; this looks at
the two accounts alone, so that every night can ask it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import stdev
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.bands import FEWEST, OF_TRACKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

ROUNDING: Final = 1e-6
"""A smaller difference is none: two accounts that are the same differ in their last digits."""


@dataclass(frozen=True)
class Gap:
    """The return of the paper account less that of the backtest over the same days."""

    total: float
    band: float | None
    """How far chance alone takes it; None of few days."""

    @property
    def is_beyond(self) -> bool | None:
        """Return whether the difference is more than chance; None where too few days are known."""
        return None if self.band is None else abs(self.total) > max(self.band, ROUNDING)


def gap_of(paper: Mapping[date, float], backtest: Mapping[date, float]) -> Gap | None:
    """Return the difference of two accounts, by their values at each close; None without two common days."""
    common = sorted(paper.keys() & backtest.keys())
    if len(common) <= 1 or not all(account[common[0]] > 0 for account in (paper, backtest)):
        return None
    began = common[0]
    totals = [paper[day] / paper[began] - backtest[day] / backtest[began] for day in common]
    return Gap(totals[-1], band_of([later - earlier for earlier, later in pairwise(totals)]))


def band_of(changes: Sequence[float]) -> float | None:
    """Return how far chance takes a difference that changes so from day to day; None of few days."""
    if len(changes) < FEWEST:
        return None
    return OF_TRACKING * stdev(changes) * math.sqrt(len(changes))
