"""Drift and decay as a small table: statistic, value, limit, state.

The values of RUN_METADATA.json may have been edited: one of another type is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.texts import figure, is_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEASURES: Final = {
    "features": "Features, against the days of train",
    "scores": "Scores, against the evaluated days",
    "turnover": "Turnover of the best, against the same days",
}
STATES: Final = ("none", "drifting", "holds", "decayed")
UNKNOWN: Final = "unknown"
LONGEST: Final = 300


@dataclass(frozen=True)
class StateRow:
    """One row of the table."""

    name: str
    value: float | None
    limit: float | None
    state: str
    note: str


def state_rows(metadata: Mapping[str, object]) -> list[StateRow]:
    """Return the rows of a run; none where it says nothing of drift and decay, as older runs do."""
    drift, decay = metadata.get("drift"), metadata.get("decay")
    rows = list(_drift(drift)) if isinstance(drift, dict) else []
    return [*rows, _decay(decay)] if isinstance(decay, dict) else rows


def _drift(document: Mapping[str, object]) -> Iterator[StateRow]:
    limits, worst = document.get("limits"), document.get("worst")
    far = [one for one in worst if isinstance(one, dict)] if isinstance(worst, list) else []
    names = ", ".join(str(one.get("feature"))[:40] for one in far)
    for measure, name in MEASURES.items():
        value = _number(document.get(measure))
        limit = _number(limits.get(measure)) if isinstance(limits, dict) else None
        known = value is not None and limit is not None
        state = UNKNOWN if not known else "drifting" if (value or 0) > (limit or 0) else "none"
        note = f"farthest: {names}" if measure == "features" and names else ""
        yield StateRow(name, value, limit, state, note)


def _decay(document: Mapping[str, object]) -> StateRow:
    state, why, before = document.get("state"), document.get("why"), document.get("gave_up")
    live, promised = _number(document.get("live_ic")), _number(document.get("promised_ic"))
    notes, days = [], document.get("days")
    if live is not None and promised is not None:
        notes.append(f"live IC {figure(live, 4)} on {days} days, promised {figure(promised, 4)}")
    if isinstance(why, str):
        notes.append(why)
    if isinstance(before, str):
        notes.append(f"trained since the model of the run {before} had decayed")
    return StateRow(
        "Decay of the IC, against what was promised",
        _number(document.get("statistic")),
        _number(document.get("limit")),
        str(state) if state in STATES else UNKNOWN,
        "; ".join(notes)[:LONGEST],
    )


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None
