"""The live model of a run: on which days it makes the signals, and what the metadata say of it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract.spec.workflow import Live
from qlib_shadow_runner.discovery.live_days import NO_LIVE_DAY, LiveDays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.dataset.ensure import ResolvedDataset
    from qlib_shadow_runner.training.model_folder import ModelFolder
    from qlib_shadow_runner.workflow.prepare import Research


def known_days(research: Research, resolved: ResolvedDataset) -> Sequence[date]:
    """Return the calendar to the last day on which the universe trades."""
    calendar, end = resolved.dataset.calendar, research.plan.universe_end
    return calendar if end is None else calendar[: bisect_right(calendar, end)]


def live_days_of(asked: Live, research: Research, resolved: ResolvedDataset) -> LiveDays | None:
    """Return the days of the live model, or None where the evaluated model makes all signals."""
    if asked is Live.EVALUATED:
        return None
    return LiveDays.of(
        known_days(research, resolved),
        research.plan.days.segments,
        ahead=research.workflow.reach.ahead,
        horizon=research.workflow.horizon,
    )


def live_metadata(asked: Live, live: LiveDays | None, model: ModelFolder | None) -> dict[str, object]:
    """Return the fields of RUN_METADATA.json that tell which model made the signals of the live days."""
    if live is None:
        why = NO_LIVE_DAY if asked is Live.REFIT else None
        return {"live": str(Live.EVALUATED), "live_note": why, "live_model_trained_through": None}
    through = model.live_through if model else live.train[1]
    return {
        "live": str(Live.REFIT),
        "live_days": [str(day) for day in live.days],
        "live_note": None,
        "live_model_trained_through": str(through),
        "live_model_sha256": model.sha256(live=True) if model else None,
    }
