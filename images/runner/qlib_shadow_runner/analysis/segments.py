"""The IC of train, valid and test side by side: what a model has learned by heart is gone on test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.statistics import finite
from qlib_shadow_runner.pickles.files import BEFORE_TEST

if TYPE_CHECKING:
    import pandas as pd

    from qlib_shadow_runner.analysis.signals import Correlation


@dataclass(frozen=True)
class SegmentCorrelation:
    """The mean IC and Rank IC of a segment, over the days on which they were measured."""

    segment: str
    ic: float | None
    rank_ic: float | None
    days: int


def correlations_by_segment(
    recorded: pd.DataFrame | None, ic: Correlation | None, rank_ic: Correlation | None
) -> list[SegmentCorrelation]:
    """Return the means of train, valid and test; empty where those of train and valid are not recorded."""
    if recorded is None:
        return []
    parts = [(name, recorded[recorded["segment"] == name].dropna(subset="ic")) for name in BEFORE_TEST]
    found = [
        SegmentCorrelation(name, finite(part["ic"].mean()), finite(part["rank_ic"].mean()), len(part))
        for name, part in parts
        if len(part)
    ]
    if found and ic is not None:
        found.append(SegmentCorrelation("test", ic.mean, rank_ic.mean if rank_ic else None, ic.days))
    return found
