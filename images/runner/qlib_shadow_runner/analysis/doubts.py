"""Reasons to doubt a run's figures, whatever chance says of them: each is one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.frozen import QUIET_DAYS
from qlib_shadow_runner.texts import figure, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qlib_shadow_runner.analysis.chance import Chance
    from qlib_shadow_runner.analysis.facts import RunFacts
    from qlib_shadow_runner.analysis.figures import ReportFigures
    from qlib_shadow_runner.analysis.signals import Correlation

HIGH_IC: Final = 0.2
"""A mean IC that no honest daily signal of a market has had, where it is beyond chance."""
HIGHER_IC: Final = 0.5
"""The same where too few days say nothing of chance."""
HIGH_RATIO: Final = 5.0
"""The same of an information ratio after costs."""
FEW_SCORES: Final = 0.5
"""The share of distinct scores below which ties decide the ranks."""
FROZEN_SHARE: Final = 0.1
"""The share of the account without a new price that matters."""
ENDS_A_YEAR: Final = 0.02
"""The share of a market's instruments that ends in a year, at least: mergers, bankruptcies, delistings."""
ENDS_EXPECTED: Final = 3.0
"""None ends although so many should: by chance that happens to one market of twenty."""


@dataclass(frozen=True)
class Doubt:
    """One reason: a few words for the headline, and the sentence that explains it."""

    title: str
    sentence: str
    replaces: bool = False
    """Whether the headline says nothing else, because the other figures mean nothing."""


def find_doubts(figures: ReportFigures, metrics: Mapping[str, object], facts: RunFacts) -> list[Doubt]:
    """Return every doubt, those that replace the headline first."""
    checks: Sequence[Callable[[], Doubt | None]] = (
        lambda: _too_good(figures, metrics),
        lambda: _same_scores(figures),
        lambda: _few_scores(figures, facts),
        lambda: _one_round(figures),
        lambda: _frozen(figures),
        lambda: _survivors(facts),
    )
    return [doubt for check in checks if (doubt := check()) is not None]


def _too_good(figures: ReportFigures, metrics: Mapping[str, object]) -> Doubt | None:
    found = [
        f"{name} {figure(correlation.mean)}"
        for name, correlation in (("IC", figures.ic), ("Rank IC", figures.rank_ic))
        if correlation is not None and _is_high(correlation)
    ]
    ratio = metrics.get("informationRatio")
    excess = figures.summary.excess if figures.summary else None
    if isinstance(ratio, int | float) and ratio >= HIGH_RATIO and _is_certain(excess):
        found.append(f"an information ratio of {figure(ratio, 1)}")
    if not found:
        return None
    return Doubt(
        "Too good to be true: suspect look-ahead",
        f"{', '.join(found)}: an IC above {HIGH_IC} and a ratio above {HIGH_RATIO:.0f} are hardly ever "
        "honest. Suspect look-ahead, and check that no column of the data is known only after its day "
        "(revised values, fundamentals by period and not by publication, the target among the features), "
        "that all prices of an instrument are adjusted alike, and that the portfolio could have dealt at "
        "its price.",
        replaces=True,
    )


def _is_high(correlation: Correlation) -> bool:
    size = abs(correlation.mean or 0.0)
    return (
        size >= (HIGHER_IC if correlation.chance.sign is None else HIGH_IC) and correlation.chance.sign != 0
    )


def _is_certain(chance: Chance | None) -> bool:
    return chance is not None and bool(chance.sign)


def _same_scores(figures: ReportFigures) -> Doubt | None:
    ties = figures.ties
    if ties is None or ties.distinct > 1:
        return None
    return Doubt(
        "The model gives every instrument the same score",
        f"On the median day all {ties.instruments} instruments have one score: the ranks are the order of "
        "their names, and nothing was predicted.",
        replaces=True,
    )


def _few_scores(figures: ReportFigures, facts: RunFacts) -> Doubt | None:
    ties = figures.ties
    if ties is None or ties.distinct == 1 or ties.distinct >= FEW_SCORES * ties.instruments:
        return None
    sentence = (
        f"The median day has {ties.distinct} distinct scores among {ties.instruments} instruments, and "
        f"{ties.tied} of them share theirs with another: equal scores are ranked by name."
    )
    if ties.undecided:
        sentence += (
            f" On {ties.undecided} of {ties.days} days this decides who is among the best {facts.topk}."
        )
    return Doubt("few distinct scores", sentence)


def _one_round(figures: ReportFigures) -> Doubt | None:
    rounds = figures.rounds
    if rounds is None or rounds.used != 1:
        return None
    of = f" of {rounds.trained}" if rounds.trained > 1 else ""
    return Doubt(
        "one round of training",
        f"The model is a single tree: its best iteration is 1{of}, and every later round made it worse on "
        "validation. It has hardly learned anything; try a lower learning rate, or doubt the features.",
    )


def _frozen(figures: ReportFigures) -> Doubt | None:
    frozen = figures.frozen
    if frozen is None or frozen.share < FROZEN_SHARE:
        return None
    until_end = ", until the end" if frozen.until_end else ""
    return Doubt(
        "frozen holdings",
        f"On {frozen.day}, {percent(frozen.share, 0)} of the account was in instruments without a new price "
        f"for more than {QUIET_DAYS} days; {frozen.instrument} had none for {frozen.longest:,} "
        f"days{until_end}. The backtest cannot sell them, and values them at their last price.",
    )


def _survivors(facts: RunFacts) -> Doubt | None:
    if facts.ended != 0 or facts.instrument_years is None:
        return None
    expected = facts.instrument_years * ENDS_A_YEAR
    if expected < ENDS_EXPECTED:
        return None
    return Doubt(
        "only survivors in the data",
        f"No instrument ends: all {facts.instruments} are there until the data's last day, where at "
        f"least {expected:.0f} endings are usual in {facts.instrument_years:,.0f} instrument-years. "
        "Those that were delisted are missing, and returns without them are too high.",
    )
