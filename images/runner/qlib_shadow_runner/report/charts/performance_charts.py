"""The charts of the backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.backtest import grown, yearly
from qlib_shadow_runner.report.charts.canvas import WIDE, Chart, date_axis, histogram, percent_axis
from qlib_shadow_runner.report.formats import signed
from qlib_shadow_runner.texts import figure, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from qlib_shadow_runner.analysis.backtest import Backtest

LABELLED = 8
"""The most years that are labelled."""
SMOOTH = 21
"""The days over which a volatile series is averaged."""


def performance_charts(backtest: Backtest, holdings: pd.DataFrame | None) -> Iterator[Chart]:
    """Return every chart for which there is data."""
    yield _growth(backtest)
    yield _underwater(backtest)
    yield from _excess(backtest)
    yield from _years(backtest)
    yield from _distribution(backtest)
    yield from _rolling(backtest)
    yield from _trading(backtest)
    yield from _exposure(backtest, holdings)


def _growth(backtest: Backtest) -> Chart:
    net, gross = grown(backtest.net), grown(backtest.gross)
    benchmark = None if backtest.benchmark is None else grown(backtest.benchmark)

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(gross, color=colours["strategy"], linewidth=1, linestyle=(0, (3, 2)), label="before costs")
        axes.plot(net, color=colours["strategy"], linewidth=1.8, label="after costs")
        if benchmark is not None:
            axes.plot(benchmark, color=colours["benchmark"], linewidth=1.4, label="benchmark")
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        percent_axis(axes)

    against = "" if benchmark is None else f"; the benchmark {signed(benchmark.iloc[-1])}"
    says = f"After costs {signed(net.iloc[-1])} in the end, before costs {signed(gross.iloc[-1])}{against}."
    return Chart("growth", "Cumulative return", says, draw, WIDE)


def _underwater(backtest: Backtest) -> Chart:
    depth, worst = backtest.underwater, backtest.worst(1)

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.fill_between(depth.index, depth, 0, color=colours["bad"], alpha=0.18, linewidth=0)
        axes.plot(depth, color=colours["bad"], linewidth=1.2)
        date_axis(axes)
        percent_axis(axes)

    if worst:
        says = f"Deepest {percent(worst[0].depth)} on {worst[0].trough:%Y-%m-%d}."
    else:
        says = "It never fell below an earlier day."
    return Chart("drawdown", "Drawdown", says, draw, WIDE)


def _excess(backtest: Backtest) -> Iterator[Chart]:
    if backtest.excess is None or backtest.benchmark is None:
        return
    after = backtest.excess.cumsum()
    before = (backtest.gross - backtest.benchmark).cumsum()

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(before, color=colours["strategy"], linewidth=1, linestyle=(0, (3, 2)), label="before costs")
        axes.plot(after, color=colours["strategy"], linewidth=1.6, label="after costs")
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        percent_axis(axes)

    says = (
        f"Daily differences added up: {signed(after.iloc[-1])} after costs, {signed(before.iloc[-1])} before."
    )
    yield Chart("excess", "Excess over the benchmark", says, draw)


def _years(backtest: Backtest) -> Iterator[Chart]:
    years = yearly(backtest.net)
    benchmark = None if backtest.benchmark is None else yearly(backtest.benchmark)

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        shown = {"strategy": years} if benchmark is None else {"benchmark": benchmark, "strategy": years}
        width = 0.8 / len(shown)
        for place, (name, values) in enumerate(shown.items()):
            middles = [number + (place - (len(shown) - 1) / 2) * width for number in range(len(values))]
            axes.bar(
                middles, values.tolist(), width=width * 0.9, color=colours[name], alpha=0.8,
                label="after costs" if name == "strategy" else name,
            )  # fmt: skip
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        step = 1 + len(years) // LABELLED
        axes.set_xticks(range(0, len(years), step), [str(year) for year in years.index[::step]])
        percent_axis(axes)

    best, worst = (f"{years.index[place]} with {signed(years.iloc[place])}" for place in _extremes(years))
    says = f"Best {best}, worst {worst}."
    yield Chart("years", "Return of each year", says, draw)


def _extremes(values: pd.Series) -> tuple[int, int]:
    """Return where the largest value is, and the smallest."""
    return int(values.to_numpy().argmax()), int(values.to_numpy().argmin())


def _distribution(backtest: Backtest) -> Iterator[Chart]:
    returns = backtest.net
    if not returns.any():
        return

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        histogram(axes, colours, returns, f"mean {signed(returns.mean(), 2)}")
        percent_axis(axes, of_x=True)

    says = (
        f"{percent((returns > 0).mean(), 0)} of {len(returns)} days above zero; "
        f"from {signed(returns.min())} to {signed(returns.max())}."
    )
    yield Chart("returns-distribution", "Distribution of the daily returns, after costs", says, draw)


def _rolling(backtest: Backtest) -> Iterator[Chart]:
    beta = backtest.rolling_beta
    if beta is not None and len(beta):
        yield _one_line("beta", f"Rolling beta to the benchmark, {backtest.window} days", beta, shares=False)
    for name, title, kind in (
        ("sharpe_ratio", "Rolling Sharpe ratio", "number"),
        ("annual_volatility", "Rolling volatility", "percent"),
    ):
        series = backtest.rolling(name)
        if series is None or not series.notna().any():
            continue
        yield _one_line(
            name.replace("_", "-"),
            f"{title}, {backtest.window} days",
            series,
            shares=kind == "percent",
        )


def _one_line(name: str, title: str, series: pd.Series, *, shares: bool) -> Chart:
    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(series, color=colours["strategy"], linewidth=1.5)
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        if shares:
            percent_axis(axes)

    show = percent if shares else figure
    low, high, last = (show(float(value)) for value in (series.min(), series.max(), series.iloc[-1]))
    return Chart(name, title, f"From {low} to {high}; {last} in the end.", draw)


def _trading(backtest: Backtest) -> Iterator[Chart]:
    if backtest.turnover is not None:
        days = min(SMOOTH, backtest.days)
        smooth = backtest.turnover.rolling(days).mean().dropna()
        if len(smooth):
            title = f"Turnover a day, mean of {days} days"
            yield _one_line("turnover", title, smooth, shares=True)
    if backtest.cost.any():
        yield _one_line("cost", "Costs, added up", backtest.cost.cumsum(), shares=True)


def _exposure(backtest: Backtest, holdings: pd.DataFrame | None) -> Iterator[Chart]:
    if backtest.invested is None:
        return
    invested, largest = backtest.invested, None if holdings is None else holdings["largest"]

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(invested, color=colours["strategy"], linewidth=1.5, label="in shares")
        if largest is not None:
            axes.plot(largest, color=colours["other"], linewidth=1.2, label="largest holding")
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        percent_axis(axes)

    says = f"{percent(invested.mean())} of the account is in shares on average"
    says += "." if largest is None else f", {percent(largest.mean())} in the largest holding."
    yield Chart("exposure", "Exposure", says, draw)
