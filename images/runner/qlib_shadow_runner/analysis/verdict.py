"""The verdict in words, by fixed rules: equal figures give equal words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.doubts import find_doubts
from qlib_shadow_runner.texts import figure, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.analysis.doubts import Doubt
    from qlib_shadow_runner.analysis.facts import RunFacts
    from qlib_shadow_runner.analysis.figures import ReportFigures
    from qlib_shadow_runner.analysis.performance import Summary

TOO_LITTLE: Final = "Too little to judge"
NOTHING: Final = "Nothing here is beyond chance"
COSTS_ALONE: Final = "Nothing here is beyond chance, except what trading costs"
NO_CLAIM: Final = frozenset({TOO_LITTLE, NOTHING, COSTS_ALONE})
"""The headlines that claim neither a signal nor a profit nor a loss."""


@dataclass(frozen=True)
class Verdict:
    """One line, the sentences that support it, and what makes it doubtful."""

    tone: str
    """`good`, `mixed` or `bad`."""
    headline: str
    sentences: list[str]
    doubts: list[str]


def judge(figures: ReportFigures, metrics: Mapping[str, object], facts: RunFacts) -> Verdict:
    """Return the verdict from the signal, the returns, the costs, and the reasons for doubt."""
    tone, headline = _with_doubts(*_headline(figures), doubts := find_doubts(figures, metrics, facts))
    found = (_signal(figures), _profit(figures, metrics), _cost(figures))
    return Verdict(
        tone, headline, [sentence for sentence in found if sentence], [doubt.sentence for doubt in doubts]
    )


def _headline(figures: ReportFigures) -> tuple[str, str]:
    signal = figures.ic.chance.sign if figures.ic else None
    profit = figures.summary.excess.sign if figures.summary and figures.summary.excess else None
    if figures.summary is None or signal is None or profit is None:
        return "mixed", TOO_LITTLE
    if signal > 0:
        return _of_a_signal(figures.summary, profit)
    if signal < 0:
        return "bad", "The scores rank the wrong way round"
    if profit > 0:
        return "mixed", "Profit without a signal: look for luck, or a tilt"
    if profit < 0:
        return "bad", _of_a_loss(figures.summary)
    return "bad", NOTHING


def _of_a_signal(summary: Summary, profit: int) -> tuple[str, str]:
    """Return the headline for scores whose IC is beyond chance."""
    if profit > 0:
        return "good", "Signal and profit are both beyond chance"
    if profit == 0 and summary.excess is not None and summary.excess.mean > 0:
        return "mixed", "The signal is beyond chance; the profit is not"
    return "bad", "The signal is beyond chance, but the portfolio makes nothing of it"


def _of_a_loss(summary: Summary) -> str:
    """Return the headline for a loss without a signal; costs are certain, so they are no finding."""
    before_costs = summary.gross_excess.sign if summary.gross_excess else None
    return "It loses to its benchmark beyond chance" if before_costs == -1 else COSTS_ALONE


def _with_doubts(tone: str, headline: str, doubts: list[Doubt]) -> tuple[str, str]:
    """Return the headline with what makes it doubtful; nothing that is in doubt is good."""
    replacing = [doubt.title for doubt in doubts if doubt.replaces]
    others = [doubt.title for doubt in doubts if not doubt.replaces]
    if replacing:
        tone, headline = "bad", replacing[0]
    elif others and tone == "good":
        tone = "mixed"
    return tone, f"{headline}; doubts: {', '.join(others)}" if others else headline


def _signal(figures: ReportFigures) -> str:
    if figures.ic is None or figures.ic.mean is None:
        return ""
    return f"Mean IC {figure(figures.ic.mean, 3)} over {figures.ic.days} days ({figures.ic.chance.words})."


def _profit(figures: ReportFigures, metrics: Mapping[str, object]) -> str:
    annual = metrics.get("annualizedReturn")
    if not isinstance(annual, int | float) or figures.summary is None or figures.summary.benchmark is None:
        return ""
    word = "more" if annual >= 0 else "less"
    sentence = f"{percent(abs(annual))} a year {word} than the benchmark after costs"
    return sentence + (f" ({figures.summary.excess.words})." if figures.summary.excess else ".")


def _cost(figures: ReportFigures) -> str:
    if figures.summary is None or figures.summary.trading.cost is None:
        return ""
    cost, turnover = figures.summary.trading.cost, figures.summary.trading.turnover
    often = f", trading {turnover:.0f} times the account a year" if turnover else ""
    return f"Costs take {percent(cost)} of the account a year{often}."
