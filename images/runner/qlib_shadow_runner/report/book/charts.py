"""The charts of a book: coordinates alone, which the template draws as plain SVG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.record import drawdowns
from qlib_shadow_runner.report.scale import BOTTOM, GAP, HEIGHT, LETTER_WIDTH, RIGHT, WIDTH, Scale
from qlib_shadow_runner.texts import percent, with_minus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.report.book.contents import Contents

MOST_DAYS: Final = 2000
"""A chart shows the last of them: about eight years."""
FEWEST_DAYS: Final = 2
LEAST: Final = 0.01
"""A grid reaches to one percent at least: smaller steps would show nothing but noise."""
ROW: Final = 26
"""Height of a row of marks; its word is large on a phone."""


@dataclass(frozen=True)
class Line:
    """A line, or an area where it is closed; its key stands above the chart."""

    css: str
    name: str
    points: str


@dataclass(frozen=True)
class Row:
    """The days on which something happened, as marks below the chart."""

    css: str
    name: str
    y: float
    path: str
    count: int


@dataclass(frozen=True)
class BookChart:
    """Everything that the template draws."""

    name: str
    title: str
    says: str
    """A text for readers who do not see the chart."""
    grid: Sequence[tuple[float, str]]
    days: Sequence[tuple[float, str, str]]
    left: int
    areas: Sequence[Line] = ()
    lines: Sequence[Line] = ()
    bars: str = ""
    """The path of all bars."""
    bar_width: float = 1.0
    rows: Sequence[Row] = ()
    height: int = HEIGHT
    labels: int = HEIGHT - GAP
    """Where the days stand."""
    width: int = WIDTH
    right: int = WIDTH - RIGHT
    gap: int = GAP


@dataclass(frozen=True)
class Axis:
    """The days of all charts of a book; on the first, that of the first decision, nothing is filled."""

    days: Sequence[str]
    marks: Mapping[str, Sequence[str]]
    """What happened on which days."""

    def chart(
        self,
        name: str,
        title: str,
        *,
        says: str,
        values: Sequence[float],
        kinds: Sequence[str],
        in_slots: bool = False,
        draw: Callable[[Scale, Sequence[float]], Mapping[str, object]],
    ) -> BookChart:
        """Return a chart on whose scale these values have a place, with rows of these kinds of marks.

        Bars stand in the slots of their days; the points of a line reach from one end to the other.
        """
        scale = Scale.of(values, in_percent)
        found = [kind for kind in kinds if any(day in self._places for day in self.marks.get(kind, ()))]
        wanted = GAP + LETTER_WIDTH * max(map(len, found), default=0)
        if wanted > scale.left:
            scale = Scale(scale.low, scale.high, scale.grid, wanted)
        x = scale.middles(len(self.days)) if in_slots else scale.points(len(self.days))
        return BookChart(
            name=name,
            title=title,
            says=f"{title} from {self.days[0]} to {self.days[-1]}: {says}",
            grid=scale.grid,
            days=scale.ends(self.days[0], self.days[-1]),
            left=scale.left,
            rows=[self._row(kind, place, x) for place, kind in enumerate(found)],
            height=HEIGHT + ROW * len(found),
            labels=HEIGHT + ROW * len(found) - GAP,
            **draw(scale, x),  # type: ignore[arg-type]
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {day: place for place, day in enumerate(self.days)}

    def _row(self, kind: str, place: int, x: Sequence[float]) -> Row:
        top = HEIGHT - BOTTOM + ROW * place + GAP
        places = self._places
        days = [day for day in self.marks[kind] if day in places]
        path = "".join(f"M{x[places[day]]} {top}v{ROW - GAP}" for day in days)
        return Row(kind, kind, top + ROW - GAP, path, len(days))


def charts_of(overview: Overview, contents: Contents) -> list[BookChart]:
    """Return the charts of a book; none before the first day is reconciled."""
    days = overview.days[-MOST_DAYS:]
    if not days:
        return []
    start = contents.first if len(days) == len(overview.days) and contents.first else ""
    marks: dict[str, list[str]] = {"late": list(overview.late_days), "missed": list(overview.missed_days)}
    for kind, day in contents.events:
        marks.setdefault(kind, []).append(day)
    axis = Axis([start, *(day.day for day in days)], marks)
    return [
        chart
        for chart in (
            _value(axis, overview, len(days)),
            _promise(axis, overview),
            _drawdown(axis, overview, len(days)),
            _turnover(axis, overview, len(days)),
            _costs(axis, overview, len(days)),
        )
        if chart is not None
    ]


def in_percent(value: float) -> str:
    """Return the label of a share on a grid."""
    return with_minus(f"{round(value * 100, 6) + 0:.6g}%")


def points_of(x: Sequence[float], heights: Sequence[float]) -> str:
    """Return the points of a line."""
    return " ".join(f"{across},{up}" for across, up in zip(x, heights, strict=True))


def _value(axis: Axis, overview: Overview, count: int) -> BookChart | None:
    capital = overview.capital or 0.0
    days = overview.days[-count:]
    base = days[0].nav - days[0].pnl if count < len(overview.days) else capital
    if base <= 0:
        return None
    ours = [0.0, *(day.nav / base - 1 for day in days)]
    returns = [day.benchmark for day in days]
    known = [one for one in returns if one is not None]
    theirs = [one - 1 for one in accumulate((1 + (one or 0.0) for one in returns), _times, initial=1.0)]
    says = f"the account {percent(ours[-1], 2)}"
    says += f", the benchmark {percent(theirs[-1], 2)}" if known else ", no benchmark is known"

    def draw(scale: Scale, x: Sequence[float]) -> Mapping[str, object]:
        lines = [Line("one", "account", points_of(x, [scale.y(one) for one in ours]))]
        if known:
            lines.insert(0, Line("other", "benchmark", points_of(x, [scale.y(one) for one in theirs])))
        return {"lines": lines}

    kinds = ("late", "missed", "held", "sales", "rules")
    values = [*ours, *(theirs if known else ()), LEAST]
    return axis.chart("value", "NAV since the start", says=says, values=values, kinds=kinds, draw=draw)


def _times(one: float, other: float) -> float:
    return one * other


def _promise(axis: Axis, overview: Overview) -> BookChart | None:
    places = {day: place for place, day in enumerate(axis.days)}
    points = [point for point in overview.record.promise if point.day in places]
    if not points:
        return None
    last = points[-1]
    values = [one for point in points for one in (point.account, point.low, point.high)]
    how = f"{overview.record.stands} the band"
    says = f"earned {percent(last.account, 2)}, promised {percent(last.expected, 2)}, {how}"

    def draw(scale: Scale, x: Sequence[float]) -> Mapping[str, object]:
        across = [x[places[points[0].day] - 1], *(x[places[point.day]] for point in points)]
        whole = len(points) == len(overview.record.promise)
        before = 0.0 if whole else points[0].expected

        def heights(name: str) -> list[float]:
            return [scale.y(before), *(scale.y(getattr(point, name)) for point in points)]

        band = [
            *zip(across, heights("high"), strict=True),
            *reversed(list(zip(across, heights("low"), strict=True))),
        ]
        return {
            "areas": [Line("band", "where chance alone leads", " ".join(f"{a},{b}" for a, b in band))],
            "lines": [
                Line("expected", "promised by the backtest", points_of(across, heights("expected"))),
                Line("one", "earned", points_of(across, heights("account"))),
            ],
        }

    return axis.chart(
        "promise",
        "Sum of daily returns and the promise",
        says=says,
        values=values,
        kinds=("late", "missed"),
        draw=draw,
    )


def _drawdown(axis: Axis, overview: Overview, count: int) -> BookChart | None:
    losses = [0.0, *(-loss for loss in drawdowns(overview.capital or 0.0, overview.days))][-count - 1 :]
    worst = min(losses)
    says = f"{percent(losses[-1], 2)} now, {percent(worst, 2)} at worst"

    def draw(scale: Scale, x: Sequence[float]) -> Mapping[str, object]:
        line = points_of(x, [scale.y(one) for one in losses])
        zero = scale.y(0.0)
        area = f"{x[0]},{zero} {line} {x[-1]},{zero}"
        return {"areas": [Line("loss", "", area)], "lines": [Line("down", "below the highest NAV", line)]}

    return axis.chart(
        "drawdown", "Drawdown", says=says, values=[*losses, -LEAST], kinds=("held", "sales"), draw=draw
    )


def _turnover(axis: Axis, overview: Overview, count: int) -> BookChart | None:
    values = [0.0, *(day.turnover for day in overview.days[-count:])]
    says = f"{percent(values[-1])} on the last day, {percent(sum(values) / count)} on average"

    def draw(scale: Scale, x: Sequence[float]) -> Mapping[str, object]:
        zero = scale.y(0.0)
        pairs = [(across, scale.y(one)) for across, one in zip(x, values, strict=True)]
        bars = "".join(f"M{across} {zero}V{up}" for across, up in pairs if up != zero)
        return {"bars": bars, "bar_width": round(max(0.8, min(24.0, scale.width / len(x) * 0.7)), 1)}

    return axis.chart(
        "turnover",
        "Turnover",
        says=says,
        values=[*values, LEAST],
        kinds=("late", "missed", "held"),
        in_slots=True,
        draw=draw,
    )


def _costs(axis: Axis, overview: Overview, count: int) -> BookChart | None:
    base = overview.capital or 0.0
    if base <= 0:
        return None
    days = overview.days[-count:]
    costs = list(accumulate((day.costs / base for day in days), initial=0.0))
    short = list(accumulate((day.shortfall / base for day in days), initial=0.0))
    says = f"costs {percent(costs[-1], 2)} of the capital, shortfall {percent(short[-1], 2)}"

    def draw(scale: Scale, x: Sequence[float]) -> Mapping[str, object]:
        return {
            "lines": [
                Line(
                    "other", "shortfall against the decision", points_of(x, [scale.y(one) for one in short])
                ),
                Line("one", "costs", points_of(x, [scale.y(one) for one in costs])),
            ]
        }

    return axis.chart(
        "costs",
        "Costs and shortfall, summed",
        says=says,
        values=[*costs, *short, 0.1 * LEAST],
        kinds=(),
        draw=draw,
    )
