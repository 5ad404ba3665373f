"""Drift and decay as RUN_METADATA.json has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from qlib_shadow_runner.drift.decay import Promise
from qlib_shadow_runner.drift.thresholds import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qlib_shadow_runner.drift.decay import Decay
    from qlib_shadow_runner.drift.thresholds import Thresholds

NONE, DRIFTING, UNKNOWN = "none", "drifting", "unknown"
WORST: Final = 5
WHY_MAX: Final = 500
OVER: Final = {"features": "train", "scores": "evaluated", "turnover": "evaluated"}
"""The days that each measure is held against."""
DAYS_MAX: Final = 1_000_000


@dataclass(frozen=True)
class Row:
    """One row of the recorded table."""

    measure: str
    name: str
    value: float | None


def drift_document(rows: Iterable[Row], thresholds: Thresholds) -> dict[str, Any]:
    """Return the drift of a run: each measure in units of its own past, and its limit where it has one."""
    rows = list(rows)
    known = [row for row in rows if row.value is not None and math.isfinite(row.value)]
    days = {row.name: int(min(max(row.value or 0, 0), DAYS_MAX)) for row in known if row.measure == "days"}
    found: dict[str, Any] = {}
    limits: dict[str, float | None] = {}
    for measure in MEASURES:
        values = [row.value for row in known if row.measure == measure and row.value is not None]
        found[measure] = max(values, default=None)
        limits[measure] = thresholds.drift_limit(measure, days.get(OVER[measure], 0))
    short = [
        f"{measure}: {OVER[measure]} has {days.get(OVER[measure], 0)} days, for which there is no limit"
        for measure in MEASURES
        if found[measure] is not None and limits[measure] is None
    ]
    worst = sorted((row for row in known if row.measure == "features"), key=lambda row: -(row.value or 0))
    return {
        "state": _state(found, limits),
        **found,
        "limits": limits,
        "why": "; ".join([*(row.name for row in rows if row.measure == UNKNOWN), *short])[:WHY_MAX] or None,
        "worst": [{"feature": row.name[:200], "value": row.value} for row in worst[:WORST]],
    }


def _state(found: Mapping[str, float | None], limits: Mapping[str, float | None]) -> str:
    judged = [
        None if (value := found[measure]) is None or (limit := limits[measure]) is None else value > limit
        for measure in MEASURES
    ]
    if any(judged):
        return DRIFTING
    return UNKNOWN if None in judged else NONE


def decay_document(decay: Decay, promise: Promise | None) -> dict[str, Any]:
    """Return the decay of a run's model."""
    return {
        "state": str(decay.state),
        "live_ic": decay.live_ic,
        "days": decay.days,
        "needed_days": decay.needed_days,
        "promised_ic": promise.ic if promise else None,
        "promised_icir": promise.icir if promise else None,
        "promised_days": promise.days if promise else None,
        "statistic": decay.statistic,
        "limit": decay.limit,
        "why": decay.why,
    }


def promise_of(document: object, horizon: int) -> Promise | None:
    """Return what the metadata of a run say was promised of its model; None where they say nothing sound."""
    if not isinstance(document, dict):
        return None
    ic, icir, days = (document.get(f"promised_{name}") for name in ("ic", "icir", "days"))
    if not _is_figure(ic, 1) or not _is_figure(icir, 1000) or type(days) is not int:
        return None
    return Promise(float(ic), float(icir), days, horizon)


def _is_figure(value: Any, most: float) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(value) <= most  # NaN is not
