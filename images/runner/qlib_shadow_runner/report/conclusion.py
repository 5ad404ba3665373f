"""The conclusion in words, by fixed rules: equal figures give equal words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.report.formats import figure, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.analysis.figures import ReportFigures

BEYOND_CHANCE: Final = 2.0
"""The t statistic above which one run is not explained by chance; of twenty random runs, one reaches it."""


@dataclass(frozen=True)
class Conclusion:
    """One line, and the sentences that support it."""

    tone: str
    """`good`, `mixed` or `bad`."""
    headline: str
    sentences: list[str]


def conclude(figures: ReportFigures, metrics: Mapping[str, object]) -> Conclusion:
    """Return the conclusion from the signal, the returns and the costs."""
    tone, headline = _headline(figures)
    found = (_signal(figures), _profit(figures, metrics), _cost(figures))
    sentences = [sentence for sentence in found if sentence]
    return Conclusion(tone, headline, sentences)


def _headline(figures: ReportFigures) -> tuple[str, str]:
    signal = figures.ic.t if figures.ic else None
    profit = figures.summary.excess_t if figures.summary else None
    if signal is None or profit is None:
        return "mixed", "Too little to judge"
    if signal >= BEYOND_CHANCE:
        return _of_a_signal(profit)
    if signal <= -BEYOND_CHANCE:
        return "bad", "The scores rank the wrong way round"
    if profit >= BEYOND_CHANCE:
        return "mixed", "Profit without a signal: look for luck, or a tilt"
    if profit <= -BEYOND_CHANCE:
        return "bad", "It loses to its benchmark beyond chance"
    return "bad", "Nothing here is beyond chance"


def _of_a_signal(profit: float) -> tuple[str, str]:
    """Return the conclusion for scores with a significant rank correlation."""
    if profit >= BEYOND_CHANCE:
        return "good", "Signal and profit are both beyond chance"
    if profit > 0:
        return "mixed", "The signal is beyond chance; the profit is not"
    return "bad", "The signal is beyond chance, but the portfolio makes nothing of it"


def _signal(figures: ReportFigures) -> str:
    if figures.ic is None or figures.ic.mean is None:
        return ""
    sentence = f"Mean IC {figure(figures.ic.mean, 3)} over {figures.ic.days} days"
    return sentence + (f" (t = {figure(figures.ic.t, 1)})." if figures.ic.t is not None else ".")


def _profit(figures: ReportFigures, metrics: Mapping[str, object]) -> str:
    annual = metrics.get("annualizedReturn")
    if not isinstance(annual, int | float) or figures.summary is None or figures.summary.benchmark is None:
        return ""
    t = figures.summary.excess_t
    word = "more" if annual >= 0 else "less"
    sentence = f"{percent(abs(annual))} a year {word} than the benchmark after costs"
    return sentence + (f" (t = {figure(t, 1)})." if t is not None else ".")


def _cost(figures: ReportFigures) -> str:
    if figures.summary is None or figures.summary.trading.cost is None:
        return ""
    cost, turnover = figures.summary.trading.cost, figures.summary.trading.turnover
    often = f", trading {turnover:.0f} times the account a year" if turnover else ""
    return f"Costs take {percent(cost)} of the account a year{often}."
