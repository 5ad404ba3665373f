"""How far the live model agrees with the evaluated one, whose figures the run shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.signals import rowwise_correlation
from qlib_shadow_runner.analysis.statistics import finite

if TYPE_CHECKING:
    from qlib_shadow_runner.analysis.outputs import Outputs


def live_rank_correlation(outputs: Outputs) -> float | None:
    """Return the mean over the live days of the rank correlation of both models' scores."""
    live, scores = outputs.live_scores, outputs.scores
    if live is None or scores is None:
        return None
    both = live.unstack(), scores.unstack()
    days = both[0].index.intersection(both[1].index)
    found = rowwise_correlation(both[0].loc[days], both[1].loc[days].reindex(columns=both[0].columns))
    return finite(found.mean())
