"""The charts of nights: the live IC of each day as bars, its mean as a line, and where a run has trained.

Only computes the coordinates; the templates draw them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.report.scale import BOTTOM, GAP, HEIGHT, RIGHT, TOP, WIDTH, Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

MOST_DAYS: Final = 250
"""A chart shows about a year."""
MOST_MARKS: Final = 30
"""A series that trains more often in this time has no marks: they would hide the bars."""
MEAN_DAYS: Final = 20
FEWEST_DAYS: Final = 2
SPARK_DAYS: Final = 30
SPARK_WIDTH: Final = 120
SPARK_HEIGHT: Final = 28


@dataclass(frozen=True)
class Bar:
    """The IC of one day, from zero up or down."""

    x: float
    y: float
    width: float
    height: float
    is_positive: bool
    title: str


@dataclass(frozen=True)
class LiveChart:
    """Everything that the template draws."""

    title: str
    bars: Sequence[Bar]
    mean: str
    """The points of the line."""
    marks: Sequence[float]
    """Where a run has trained."""
    grid: Sequence[tuple[float, str]]
    days: Sequence[tuple[float, str, str]]
    left: int
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - RIGHT
    gap: int = GAP
    mean_days: int = MEAN_DAYS


def live_chart(live: Mapping[date, float], trained: Sequence[date]) -> LiveChart | None:
    """Return the chart of a series; None where there are not enough days."""
    days = sorted(live)[-MOST_DAYS:]
    if len(days) < FEWEST_DAYS:
        return None
    values = [live[day] for day in days]
    scale = Scale.of(values)
    slot = scale.width / len(days)
    middles = scale.middles(len(days))
    means = [fmean(values[max(0, place - MEAN_DAYS + 1) : place + 1]) for place in range(len(days))]
    since = [day for day in trained if day >= days[0]]
    places = sorted({min(bisect_left(days, day), len(days) - 1) for day in since})
    marks = [round(scale.left + slot * place, 1) for place in places] if len(places) <= MOST_MARKS else []
    shown = [(day, live[day]) for day in days]
    return LiveChart(
        title=f"Live IC from {days[0]} to {days[-1]}: mean {fmean(values):.3f} over {len(days)} days, "
        f"{means[-1]:.3f} over the last {min(MEAN_DAYS, len(days))}; trained {len(since)} times",
        bars=_bars(shown, middles, slot * 0.7, scale.y(0.0), list(map(scale.y, values))),
        mean=" ".join(f"{x},{scale.y(value)}" for x, value in zip(middles, means, strict=True)),
        marks=marks,
        grid=scale.grid,
        days=scale.ends(days[0], days[-1]),
        left=scale.left,
    )


def spark_bars(live: Mapping[date, float]) -> Sequence[Bar]:
    """Return the last days as a small picture without labels."""
    days = sorted(live)[-SPARK_DAYS:]
    values = [live[day] for day in days]
    most = max(map(abs, values), default=0.0) or 1.0
    half, slot = SPARK_HEIGHT / 2, SPARK_WIDTH / SPARK_DAYS
    middles = [round(slot * (place + 0.5 + SPARK_DAYS - len(days)), 1) for place in range(len(days))]
    tops = [round(half - (half - 1) * value / most, 1) for value in values]
    return _bars([(day, live[day]) for day in days], middles, slot * 0.75, half, tops)


def _bars(
    live: Sequence[tuple[date, float]],
    middles: Sequence[float],
    width: float,
    zero: float,
    ends: Sequence[float],
) -> list[Bar]:
    return [
        Bar(
            x=round(middle - width / 2, 1),
            y=min(zero, end),
            width=round(width, 1),
            height=round(max(abs(zero - end), 0.5), 1),
            is_positive=value >= 0,
            title=f"{day}: {value:.3f}",
        )
        for (day, value), middle, end in zip(live, middles, ends, strict=True)
    ]
