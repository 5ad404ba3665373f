"""The charts of the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from qlib_shadow_runner.analysis.signals import GROUPS
from qlib_shadow_runner.report.charts.canvas import Chart, date_axis, histogram, percent_axis
from qlib_shadow_runner.report.formats import points, signed
from qlib_shadow_runner.texts import figure, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from qlib_shadow_runner.analysis.learning import LearningCurve
    from qlib_shadow_runner.analysis.outputs import Rounds
    from qlib_shadow_runner.analysis.signals import Signals

SMOOTH = 21
BASIS_POINTS = 1e4


def signal_charts(signals: Signals) -> Iterator[Chart]:
    """Return every chart for which there is data."""
    named = {"IC": signals.outputs.ic, "Rank IC": signals.outputs.rank_ic}
    series = {
        name: found.dropna() for name, found in named.items() if found is not None and found.notna().any()
    }
    if series:
        yield _daily(series)
        yield _cumulative(series)
        yield _distribution(series)
    if signals.groups is not None and signals.long_short is not None:
        yield _groups(signals.groups)
        yield _spread(signals.groups, signals.long_short)
    if signals.persistence is not None and signals.persistence.notna().any():
        yield _persistence(signals.persistence)


def _lines(series: Mapping[str, pd.Series], axes: Axes, colours: Mapping[str, str]) -> None:
    for (name, values), colour in zip(series.items(), ("strategy", "other"), strict=False):
        axes.plot(values, color=colours[colour], linewidth=1.5, label=name)
    axes.axhline(0, color=colours["muted"], linewidth=0.8)
    date_axis(axes)


def _daily(series: Mapping[str, pd.Series]) -> Chart:
    name, first = next(iter(series.items()))
    days = min(SMOOTH, len(first))

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(first, color=colours["muted"], linewidth=0.6, alpha=0.4)
        _lines({key: values.rolling(days).mean() for key, values in series.items()}, axes, colours)

    mean = figure(first.mean(), 3)
    says = f"The thin line is each day's {name}, the others the mean of {days} days; {mean} on average."
    return Chart("ic", f"IC and Rank IC, mean of {days} days", says, draw)


def _cumulative(series: Mapping[str, pd.Series]) -> Chart:
    sums = {name: values.cumsum() for name, values in series.items()}
    ends = ", ".join(f"{name} {figure(values.iloc[-1], 1)}" for name, values in sums.items())
    return Chart(
        "ic-cumulative",
        "IC and Rank IC, added up",
        f"In the end {ends}. A steady slope is a steady signal.",
        lambda axes, colours: _lines(sums, axes, colours),
    )


def _distribution(series: Mapping[str, pd.Series]) -> Chart:
    name, values = next(iter(series.items()))

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        histogram(axes, colours, values, f"mean {figure(values.mean(), 3)}")

    above, deviation = percent((values > 0).mean(), 0), figure(values.std(), 3)
    says = f"Days by their {name}: {above} above zero, deviation {deviation}."
    return Chart("ic-distribution", f"Distribution of the daily {name}", says, draw)


def _groups(groups: pd.DataFrame) -> Chart:
    means = groups.mean() * BASIS_POINTS

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        tint = [colours["good" if value >= 0 else "bad"] for value in means]
        axes.bar(range(GROUPS), means, color=tint, alpha=0.75, width=0.7)
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        names = ["1 best", *map(str, range(2, GROUPS)), f"{GROUPS} worst"]
        axes.set_xticks(range(GROUPS), names)

    shares = ", ".join(points(value / BASIS_POINTS) for value in means)
    return Chart(
        "groups",
        "Mean label by fifth of the scores, in basis points",
        f"From the best fifth to the worst: {shares}.",
        draw,
    )


def _spread(groups: pd.DataFrame, long_short: pd.Series) -> Chart:
    parts = {"best": groups[1], "worst": groups[GROUPS], "best less worst": long_short}
    sums = {name: values.dropna().cumsum() for name, values in parts.items()}

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        for (name, values), colour in zip(sums.items(), ("good", "bad", "strategy"), strict=True):
            axes.plot(values, color=colours[colour], linewidth=1.5, label=name)
        axes.axhline(0, color=colours["muted"], linewidth=0.8)
        date_axis(axes)
        percent_axis(axes)

    says = f"Daily means added up, without costs: best less worst {signed(sums['best less worst'].iloc[-1])}."
    return Chart("long-short", "Best and worst fifth, added up", says, draw)


def _persistence(persistence: pd.Series) -> Chart:
    days = min(SMOOTH, len(persistence))

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        axes.plot(persistence, color=colours["muted"], linewidth=0.6, alpha=0.4)
        axes.plot(persistence.rolling(days, min_periods=1).mean(), color=colours["strategy"], linewidth=1.5)
        date_axis(axes)

    says = f"Ranks of a day against the day before: {figure(persistence.mean())} on average; 1 is no change."
    return Chart("autocorrelation", f"Autocorrelation of the ranks, mean of {days} days", says, draw)


def learning_chart(curve: LearningCurve, rounds: Rounds | None) -> Chart:
    """Return the chart of a learning curve, with the round that the model uses marked where it is known."""

    def draw(axes: Axes, colours: Mapping[str, str]) -> None:
        for name, values, colour in (("train", curve.train, "strategy"), ("valid", curve.valid, "other")):
            axes.plot(range(1, len(values) + 1), values, color=colours[colour], linewidth=1.5, label=name)
        if rounds is not None:
            axes.axvline(
                rounds.used, color=colours["muted"], linewidth=1.2, linestyle=(0, (3, 2)), label="used"
            )
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))

    says = f"{len(curve.valid)} rounds; "
    if rounds is not None and rounds.used <= min(len(curve.train), len(curve.valid)):
        says += f"the model uses {rounds.used}, with {_error(curve, rounds.used)}."
    else:
        says += f"after the last {_error(curve, min(len(curve.train), len(curve.valid)))}."
    return Chart("learning", f"Learning curve, {curve.metric} by round", says, draw)


def _error(curve: LearningCurve, number: int) -> str:
    return f"{figure(curve.valid[number - 1], 4)} on valid, {figure(curve.train[number - 1], 4)} on train"
