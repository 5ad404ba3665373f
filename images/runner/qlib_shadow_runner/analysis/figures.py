"""Every figure in report.html and backtest_summary.md, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.backtest import Backtest
from qlib_shadow_runner.analysis.chance import Chance
from qlib_shadow_runner.analysis.expected import Standing, expected_returns, scored_of
from qlib_shadow_runner.analysis.performance import Summary, summarize
from qlib_shadow_runner.analysis.segments import SegmentCorrelation, correlations_by_segment
from qlib_shadow_runner.analysis.signals import Correlation, Ranked, Signals, by_month
from qlib_shadow_runner.analysis.statistics import finite
from qlib_shadow_runner.analysis.ties import Ties
from qlib_shadow_runner.pickles.files import RECORDED_IN, SEGMENT_IC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.analysis.facts import RunFacts
    from qlib_shadow_runner.analysis.frozen import Frozen
    from qlib_shadow_runner.analysis.outputs import Outputs, Rounds

FEATURES: Final = 20
SHOWN: Final = 10


@dataclass(frozen=True)
class Groups:
    """The mean labels of the fifths of the scores; daily, the best fifth first."""

    days: int
    means: list[float | None]
    spread: float | None
    chance: Chance | None
    """Of the spread."""


@dataclass(frozen=True)
class ReportFigures:
    """The figures of one run; those that cannot be computed are None or empty, and `missing` says why."""

    summary: Summary | None
    ic: Correlation | None
    rank_ic: Correlation | None
    segments: list[SegmentCorrelation]
    """Train, valid and test, or empty."""
    ic_months: Mapping[int, Mapping[int, float]]
    months: Mapping[int, Mapping[int, float]]
    groups: Groups | None
    expected: Standing | None
    """Whether the outcomes were as expected by rank."""
    persistence: float | None
    features: list[tuple[str, float]]
    """The features with the largest gain, and their shares of all gain."""
    last_day: str | None
    best: list[Ranked]
    worst: list[Ranked]
    missing: list[str]
    ties: Ties | None
    rounds: Rounds | None
    frozen: Frozen | None


@dataclass(frozen=True)
class ReportMaterial:
    """The recorder's outputs as series, shared by figures and charts."""

    outputs: Outputs
    facts: RunFacts

    @cached_property
    def backtest(self) -> Backtest | None:
        """Return the backtest, or None."""
        return Backtest.of(self.outputs.backtest)

    @cached_property
    def signals(self) -> Signals:
        """Return the signals."""
        return Signals(self.outputs)

    @cached_property
    def figures(self) -> ReportFigures:
        """Return the figures."""
        return compute_figures(self)


def compute_figures(material: ReportMaterial) -> ReportFigures:
    """Return the figures, computed from the recorder's outputs."""
    outputs, backtest, signals = material.outputs, material.backtest, material.signals
    horizon = material.facts.horizon
    half = min(SHOWN, len(signals.today) // 2)
    ic, rank_ic = (Correlation.of(series, horizon) for series in (outputs.ic, outputs.rank_ic))
    return ReportFigures(
        summary=None if backtest is None else summarize(backtest, outputs.holdings),
        ic=ic,
        rank_ic=rank_ic,
        segments=correlations_by_segment(outputs.segment_ic, ic, rank_ic),
        ic_months={} if outputs.ic is None else by_month(outputs.ic),
        months={} if backtest is None else backtest.months,
        groups=_groups(signals, horizon),
        expected=_standing(outputs, material.facts),
        persistence=None if signals.persistence is None else finite(signals.persistence.mean()),
        features=_features(outputs),
        last_day=None if signals.last_day is None else f"{signals.last_day:%Y-%m-%d}",
        best=signals.today[: half or SHOWN],
        worst=signals.today[len(signals.today) - half :],
        missing=_missing(outputs, backtest, signals),
        ties=Ties.of(signals.table, material.facts.topk),
        rounds=outputs.rounds,
        frozen=outputs.frozen,
    )


def _groups(signals: Signals, horizon: int) -> Groups | None:
    if signals.groups is None or signals.long_short is None:
        return None
    return Groups(
        days=len(signals.groups),
        means=[finite(value) for value in signals.groups.mean()],
        spread=finite(signals.long_short.mean()),
        chance=Chance.of(signals.long_short, horizon),
    )


def _standing(outputs: Outputs, facts: RunFacts) -> Standing | None:
    if outputs.scores is None or outputs.labels is None:
        return None
    scored = scored_of(outputs.scores, outputs.labels)
    return Standing.of(scored, expected_returns(scored, facts.ahead, facts.horizon), facts.horizon)


def _features(outputs: Outputs) -> list[tuple[str, float]]:
    gains = outputs.gains
    if gains is None or not gains.sum():
        return []
    shares = gains[gains > 0] / gains.sum()
    return [(str(name), float(share)) for name, share in shares.head(FEATURES).items()]


def _missing(outputs: Outputs, backtest: Backtest | None, signals: Signals) -> list[str]:
    """Return a sentence for each part that is missing."""
    found = [f"{name} {fault}." for name, fault in sorted(outputs.faults.items())]
    if backtest is None:
        found.append("There is no day with a return: nothing is said of performance.")
    else:
        found += _missing_of(backtest)
    if outputs.ic is None or not outputs.ic.notna().any():
        found.append("No day has an information coefficient: it needs two instruments with different labels.")
    if outputs.segment_ic is None and RECORDED_IN[SEGMENT_IC] not in outputs.faults:
        found.append("The IC of train and valid is not recorded: nothing shows how far the model is overfit.")
    if signals.groups is None:
        found.append("No day has ten instruments with score and label: there are no fifths to compare.")
    if outputs.gains is None:
        found.append("The model does not say what its features gained.")
    elif not outputs.gains.sum():
        found.append("The model's trees make no split: no feature gained anything.")
    return found


def _missing_of(backtest: Backtest) -> list[str]:
    found = []
    if backtest.benchmark is None:
        found.append("The benchmark has no returns: nothing is compared with it.")
    if backtest.window is None:
        found.append(f"{backtest.days} days are too few for rolling figures, which need 42.")
    if not backtest.gross.any():
        found.append("The portfolio never moved: nothing was bought, or no price changed.")
    return found
