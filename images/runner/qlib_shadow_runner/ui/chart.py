"""The chart of the followup: the cumulative IC of live signals, one line for each horizon, as SVG points.

Only computes the coordinates; the template draws them.
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
LETTER_WIDTH: Final = 14
"""Width of a letter beside the grid on a phone, where letters must be large."""
RIGHT: Final = 16
TOP: Final = 14
BOTTOM: Final = 28
STEPS: Final = (1.0, 2.0, 5.0, 10.0)
GRID_LINES: Final = 5
"""About how many lines of the grid are drawn."""


@dataclass(frozen=True)
class ChartLine:
    """The line of one horizon."""

    name: str
    points: str
    last: tuple[float, float]


@dataclass(frozen=True)
class LineChart:
    """Everything that the template draws."""

    title: str
    lines: Sequence[ChartLine]
    grid: Sequence[tuple[float, str]]
    """Heights with their labels."""
    days: Sequence[tuple[float, str, str]]
    """Positions with their labels and text anchors."""
    left: int
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - RIGHT
    gap: int = GAP


def cumulative_ic(records: Sequence[TrackRecord]) -> LineChart | None:
    """Return the chart of one dataset's records; None where there are not enough days for a line."""
    days = sorted({day.day for record in records for day in record.days})
    if len(days) <= 1:
        return None
    values = [0.0, *(day.cumulative_ic for record in records for day in record.days)]
    low, high, step = bounds(min(values), max(values))
    heights = [low + step * place for place in range(round((high - low) / step) + 1)]
    left = GAP + LETTER_WIDTH * max(len(label(height)) for height in heights)

    def x(day: date) -> float:
        return round(left + (WIDTH - left - RIGHT) * days.index(day) / (len(days) - 1), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 1)

    lines = [_line(record, [(x(day.day), y(day.cumulative_ic)) for day in record.days]) for record in records]
    grid = [(y(height), label(height)) for height in heights]
    ends = [(x(days[0]), str(days[0]), "start"), (x(days[-1]), str(days[-1]), "end")]
    summary = ", ".join(
        f"{record.days[-1].cumulative_ic:.2f} over {record.horizon} days" for record in records
    )
    return LineChart(f"Cumulative IC from {days[0]} to {days[-1]}: {summary}", lines, grid, ends, left)


def _line(record: TrackRecord, points: Sequence[tuple[float, float]]) -> ChartLine:
    name = "1 day" if record.horizon == 1 else f"{record.horizon} days"
    return ChartLine(name, " ".join(f"{x},{y}" for x, y in points), points[-1])


def bounds(low: float, high: float) -> tuple[float, float, float]:
    """Return round numbers below and above the values, and the step between grid lines."""
    span = max(high - low, 1e-6)
    power = 1e-7
    while power * STEPS[-1] * GRID_LINES < span:
        power *= 10
    step = next(step * power for step in STEPS if step * power * GRID_LINES >= span)
    first = int(low // step) * step
    last = first + step
    while last < high:
        last += step
    return first, last, step


def label(value: float) -> str:
    """Return the label of a grid line."""
    return f"{round(value, 8) + 0:.6g}".replace("-", "\N{MINUS SIGN}")
