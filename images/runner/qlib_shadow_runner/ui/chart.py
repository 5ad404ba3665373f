"""The followup as a drawing: the cumulative IC of live signals, one line for each horizon, as SVG points.

Knows numbers and a canvas, no page: the template draws what is worked out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.catalog.track_record import TrackRecord

WIDTH: Final = 720
HEIGHT: Final = 260
GAP: Final = 8
LETTER: Final = 14
"""As wide as a letter beside the grid is on a phone, where it must be large to be read."""
RIGHT: Final = 16
TOP: Final = 14
BOTTOM: Final = 28
STEPS: Final = (1.0, 2.0, 5.0, 10.0)
LINES: Final = 5
"""About how many lines of a grid are drawn."""


@dataclass(frozen=True)
class ChartLine:
    """One horizon."""

    name: str
    points: str
    last: tuple[float, float]


@dataclass(frozen=True)
class LineChart:
    """What is drawn."""

    title: str
    lines: Sequence[ChartLine]
    grid: Sequence[tuple[float, str]]
    """Heights, and what is written there."""
    days: Sequence[tuple[float, str, str]]
    """Places, what is written there, and how it is anchored."""
    left: int
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - RIGHT
    gap: int = GAP


def cumulative_ic(records: Sequence[TrackRecord]) -> LineChart | None:
    """Draw the records of one dataset; nothing where there is no line yet."""
    days = sorted({day.day for record in records for day in record.days})
    if len(days) <= 1:
        return None
    values = [0.0, *(day.cumulative_ic for record in records for day in record.days)]
    low, high, step = _bounds(min(values), max(values))
    heights = [low + step * place for place in range(round((high - low) / step) + 1)]
    left = GAP + LETTER * max(len(_written(height)) for height in heights)

    def x(day: date) -> float:
        return round(left + (WIDTH - left - RIGHT) * days.index(day) / (len(days) - 1), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 1)

    lines = [_line(record, [(x(day.day), y(day.cumulative_ic)) for day in record.days]) for record in records]
    grid = [(y(height), _written(height)) for height in heights]
    ends = [(x(days[0]), str(days[0]), "start"), (x(days[-1]), str(days[-1]), "end")]
    said = ", ".join(f"{record.days[-1].cumulative_ic:.2f} over {record.horizon} days" for record in records)
    return LineChart(f"Cumulative IC from {days[0]} to {days[-1]}: {said}", lines, grid, ends, left)


def _line(record: TrackRecord, points: Sequence[tuple[float, float]]) -> ChartLine:
    name = "1 day" if record.horizon == 1 else f"{record.horizon} days"
    return ChartLine(name, " ".join(f"{x},{y}" for x, y in points), points[-1])


def _bounds(low: float, high: float) -> tuple[float, float, float]:
    """Take round numbers that the values lie between."""
    span = max(high - low, 1e-6)
    power = 1e-7
    while power * STEPS[-1] * LINES < span:
        power *= 10
    step = next(step * power for step in STEPS if step * power * LINES >= span)
    first = int(low // step) * step
    last = first
    while last < high:
        last += step
    return first, last, step


def _written(value: float) -> str:
    return f"{round(value, 8) + 0:.6g}".replace("-", "\N{MINUS SIGN}")
