"""The chart of the followup: the cumulative IC of live signals, one line for each horizon, as SVG points.

Only computes the coordinates; the template draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.report.scale import GAP, HEIGHT, RIGHT, WIDTH, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.catalog.track_record import TrackRecord


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
    values = (day.cumulative_ic for record in records for day in record.days)
    scale = Scale.of(values)
    x = dict(zip(days, scale.points(len(days)), strict=True))
    lines = [
        _line(record, [(x[day.day], scale.y(day.cumulative_ic)) for day in record.days]) for record in records
    ]
    summary = ", ".join(
        f"{record.days[-1].cumulative_ic:.2f} over {record.horizon} days" for record in records
    )
    title = f"Cumulative IC from {days[0]} to {days[-1]}: {summary}"
    return LineChart(title, lines, scale.grid, scale.ends(days[0], days[-1]), scale.left)


def _line(record: TrackRecord, points: Sequence[tuple[float, float]]) -> ChartLine:
    name = "1 day" if record.horizon == 1 else f"{record.horizon} days"
    return ChartLine(name, " ".join(f"{x},{y}" for x, y in points), points[-1])
