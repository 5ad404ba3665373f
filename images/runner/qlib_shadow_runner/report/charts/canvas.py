"""Convert a Matplotlib figure to an SVG for a page, or to a PNG.

The figure is drawn in marker colours, which become CSS variables, so that one chart is right on light and
dark backgrounds and on paper. The bytes depend on the data alone: no date, and ids made from the chart's
name.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qlib_shadow_runner.texts import MINUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from matplotlib.axes import Axes

MARKERS: Final[Mapping[str, str]] = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "strategy": "#040404",
    "benchmark": "#050505",
    "other": "#060606",
    "good": "#070707",
    "bad": "#080808",
    **{f"run{number}": f"#0{number:x}0b0c" for number in range(1, 9)},
}
"""Marker colours, by the CSS variable that replaces each."""
PRINTED: Final[Mapping[str, str]] = {
    "ink": "#1a1f27",
    "muted": "#56606e",
    "grid": "#dde2e9",
    "strategy": "#0b5cad",
    "benchmark": "#6b7480",
    "other": "#b4540a",
    "good": "#12763f",
    "bad": "#c0271f",
    "run1": "#0b5cad",
    "run2": "#b4540a",
    "run3": "#12763f",
    "run4": "#8a3ea8",
    "run5": "#a3123f",
    "run6": "#0f7478",
    "run7": "#6a5d00",
    "run8": "#56606e",
}
"""The colours on white, for PNGs; the page's style repeats them."""
HALF: Final = (420, 250)
WIDE: Final = (840, 270)
NARROW: Final = (420, 270)
"""Sizes in CSS pixels; a page scales charts, so text must be large enough on the smallest screen."""
FONT: Final = 11
DPI: Final = 72
PNG_DPI: Final = 216
DIGITS: Final = re.compile(r"(?<=\d\.\d\d)\d+")
TICKS: Final = 6
"""The most days that are labelled below a chart, also a narrow one."""
MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120)
"""The numbers of months between labelled days."""
A_YEAR: Final = 12
FEW: Final = 2
BINS: Final = 31
"""The most bars of a histogram."""


@dataclass(frozen=True)
class Chart:
    """A chart with its description."""

    name: str
    title: str
    says: str
    """A text for readers who do not see the chart."""
    draw: Callable[[Axes, Mapping[str, str]], None]
    size: tuple[int, int] = HALF

    def svg(self, size: tuple[int, int] | None = None, variant: str = "") -> Markup:
        """Return the chart as an SVG for a page."""
        name = f"{self.name}{variant}"
        figure = self._figure(MARKERS, size or self.size, name)
        stream = io.StringIO()
        with mpl.rc_context(_settings(name)):
            FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
                stream, metadata={"Date": None, "Creator": None}
            )
        return Markup(_for_a_page(stream.getvalue(), name, self.title, self.says))  # noqa: S704 - escaped there

    def png(self) -> bytes:
        """Return the chart as a PNG."""
        size = self.size
        figure = self._figure(PRINTED, size, self.name)
        figure.axes[0].set_title(self.title, loc="left", fontsize=FONT + 1, color=PRINTED["ink"])
        stream = io.BytesIO()
        with mpl.rc_context(_settings(self.name)):
            FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
                stream, metadata={"Software": None}
            )
        return stream.getvalue()

    def _figure(self, colours: Mapping[str, str], size: tuple[int, int], name: str) -> Figure:
        with mpl.rc_context(_settings(name)):
            figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
            figure.subplots_adjust(
                left=46 / size[0], right=1 - 26 / size[0], top=1 - 22 / size[1], bottom=24 / size[1]
            )
            axes = figure.add_subplot()
            _dress(axes, colours)
            self.draw(axes, colours)
            _legend(axes, colours)
        if colours is PRINTED:
            figure.set_dpi(PNG_DPI)
        else:
            figure.patch.set_visible(False)
        return figure


def histogram(axes: Axes, colours: Mapping[str, str], values: pd.Series, label: str) -> None:
    """Draw how many days have which value, with the mean marked."""
    counts, edges = np.histogram(values, bins=min(BINS, max(5, len(values) // 5)))
    axes.bar(
        edges[:-1], counts, width=np.diff(edges) * 0.9, align="edge", color=colours["strategy"], alpha=0.75
    )
    axes.axvline(0, color=colours["muted"], linewidth=0.8)
    axes.axvline(values.mean(), color=colours["other"], linewidth=1.5, label=label)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def date_axis(axes: Axes) -> None:
    """Label few days of a date axis, each with its year; call this after drawing."""
    axes.margins(x=0.01)
    days, form = ticks_between(*axes.get_xlim())
    axes.set_xticks(days.astype("int64").tolist(), [f"{day:{form}}" for day in days.tolist()])


def ticks_between(low: float, high: float) -> tuple[np.ndarray, str]:
    """Return the days to label between two of Matplotlib's numbers (days since 1970), and their format.

    They are firsts of a month if at least two fit. Matplotlib's own locator finds
    none for some spans, such as three years, and warns about it in the run's log.
    """
    first, last = (np.datetime64(round(day), "D") for day in (math.ceil(low), math.floor(high)))
    months = np.arange(first.astype("M8[M]"), last.astype("M8[M]") + 1)
    for step in MONTHS:
        days = months[months.astype("int64") % step == 0].astype("M8[D]")
        days = days[days >= first]
        if len(days) <= TICKS:
            break
    if len(days) >= FEW:
        return days, "%Y" if step >= A_YEAR else "%b %Y"
    apart = max(1, math.ceil((last - first).astype(int) / (TICKS - 1)))
    return np.arange(first, last + 1, apart), "%d %b %y"


def percent_axis(axes: Axes, *, of_x: bool = False) -> None:
    """Label shares in percent, on the vertical axis or on the other."""
    axis = axes.xaxis if of_x else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{round(value * 100, 6):g}%".replace("-", MINUS))


def _settings(name: str) -> Any:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "font.size": FONT,
        "path.simplify": True,
        "path.simplify_threshold": 0.3,
    }


def _dress(axes: Axes, colours: Mapping[str, str]) -> None:
    """Remove what is not data."""
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours["muted"])
    axes.tick_params(colors=colours["muted"], labelcolor=colours["muted"], length=0, pad=5)
    axes.grid(axis="y", color=colours["grid"], linewidth=1)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def _legend(axes: Axes, colours: Mapping[str, str]) -> None:
    """Put the legend above the data, where it covers nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 0.985), ncols=len(handles), frameon=False,
            borderpad=0, borderaxespad=0.2, handlelength=1.1, columnspacing=1.2, handletextpad=0.5,
            labelcolor=colours["ink"],
        )  # fmt: skip


def _for_a_page(drawn: str, name: str, title: str, says: str) -> str:
    """Remove the parts of an SVG that only a file needs, and add those that a page needs."""
    svg = drawn[drawn.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"<[^>]+>", _rounded, svg)
    for variable, marker in MARKERS.items():
        svg = svg.replace(marker, f"var(--{variable})")
    svg = re.sub(r"""font-family: [^;"]*|font: ([\d.]+px) [^;"]*""", _font, svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"(url\(|href=\")#", rf"\1#{name}-", svg)
    size = re.search(r'viewBox="[^"]+"', svg)
    assert size is not None, "Matplotlib writes one"
    head = f'<svg {size[0]} role="img" aria-label="{escape(f"{title}. {says}")}" data-chart="{escape(name)}">'
    svg = head + svg[svg.index(">") + 1 :]
    return re.sub(r"\n\s*", "\n", svg).strip()


def _rounded(tag: re.Match[str]) -> str:
    """Round the numbers within tags; text outside of tags stays."""
    return DIGITS.sub("", tag[0])


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1]}" if found[1] else "font-family: inherit"
