"""compare.html: charts with a curve for each run, a table of figures, and the differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.backtest import grown
from qlib_shadow_runner.report.charts.canvas import WIDE, Chart, date_axis, percent_axis
from qlib_shadow_runner.report.comparison import against_the_first, cautions, differences, rows
from qlib_shadow_runner.report.formats import signed
from qlib_shadow_runner.report.page import drawn, filled_in
from qlib_shadow_runner.texts import figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from qlib_shadow_runner.report.comparison import Compared

CURVES_MAX: Final = 8
"""More curves cannot be told apart on a chart."""
DASHES: Final = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))
"""Line styles, so that runs do not differ by colour alone."""


def render_comparison(runs: Sequence[Compared]) -> str:
    """Return the page."""
    return filled_in(
        "compare.html.j2",
        runs=runs,
        rows=rows(runs),
        differences=differences(runs),
        cautions=cautions(runs),
        charts=[drawn(chart) for chart in comparison_charts(runs[:CURVES_MAX])],
        against=against_the_first(runs),
        curves_max=CURVES_MAX,
        signed=signed,
        figure4=lambda value: f"{value:+.4f}",
    )


def comparison_charts(runs: Sequence[Compared]) -> Iterator[Chart]:
    """Return every chart for which at least one run has data."""
    growth = [None if run.backtest is None else grown(run.backtest.net) for run in runs]
    yield from _overlaid("compare-growth", "Cumulative return after costs", growth, shares=True, size=WIDE)
    excess = [
        run.backtest.excess.cumsum() if run.backtest and run.backtest.excess is not None else None
        for run in runs
    ]
    yield from _overlaid("compare-excess", "Excess over the benchmark, added up", excess, shares=True)
    ic = [None if run.outputs.ic is None else run.outputs.ic.dropna().cumsum() for run in runs]
    yield from _overlaid("compare-ic", "IC, added up", ic, shares=False)


def _overlaid(
    name: str, title: str, series: Sequence[pd.Series | None], *,
    shares: bool, size: tuple[int, int] | None = None,
) -> Iterator[Chart]:  # fmt: skip
    lines = [(number, values) for number, values in enumerate(series) if values is not None and len(values)]
    if not lines:
        return

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        for number, values in lines:
            style = DASHES[number % len(DASHES)]
            label = str(number + 1)
            axes.plot(values, color=colours[f"run{number + 1}"], linewidth=1.6, linestyle=style, label=label)
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        if shares:
            percent_axis(axes)

    show = signed if shares else figure
    ends = ", ".join(f"{number + 1} {show(float(values.iloc[-1]), 1)}" for number, values in lines)
    chart = Chart(name, title, f"In the end, by the runs' numbers: {ends}.", draw)
    yield chart if size is None else Chart(name, title, chart.says, draw, size)
