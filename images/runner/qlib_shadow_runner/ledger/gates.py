"""The gates: an ordered table of pure functions. A later gate is one more row.

First the gates on facts are asked, then those on the plan's figures. Each answers with its figure, its limit,
a verdict and a sentence; the most severe verdict decides the day. A limit that is not set is not asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from qlib_shadow_runner.ledger.entries import Decision, GateAnswer, Verdict, is_closed
from qlib_shadow_runner.texts import figure as in_digits
from qlib_shadow_runner.texts import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qlib_shadow_runner.ledger.rules import Rules

Passed = Literal["passed", "failed", "unknown"]
Figure = float | str | None
ROUNDING: Final = 1e-9
"""A figure that exceeds its limit by so small a part of it does so by rounding alone."""
NO_HALT: Final = "none"
SYNTHETIC: Final = "synthetic"
DATA_AGE: Final = "dataAge"


@dataclass(frozen=True)
class RunFacts:
    """What the gates ask of the run and its data; a None is not known."""

    golden: Passed = "unknown"
    """Whether the run passes the checks of a golden run."""
    golden_why: str = ""
    """Which check it fails, or why none was made, in words."""
    signals: Passed = "unknown"
    """Whether the signals follow from the model (verify's check of them)."""
    signals_why: str = ""
    model_age_days: int | None = None
    """Trading days since the model was trained; 0 for one that this run has trained."""
    live_ic: str = "unknown"
    """holds, decayed or unknown, as calibrated."""
    live_ic_figure: float | None = None
    drift: str = "unknown"
    """none, drifting or unknown."""
    coverage: float | None = None
    """The share of the universe's traded instruments that have a signal."""
    synthetic: bool = False
    """Whether the data is synthetic, which has no age."""


@dataclass(frozen=True)
class Facts:
    """Everything that the gates of one night ask."""

    run: RunFacts
    halt: str | None = None
    """HALTED, REDUCING or None."""
    halt_why: str = ""
    data_age: int | None = None
    """Sessions that have closed since the data's last day."""
    drawdown: float | None = None
    """The loss since the peak, as a share of it: 0.1 is ten percent."""
    day_return: float | None = None
    """Of the worst day since the last decision."""
    holds: bool = False
    """Whether the account holds anything."""
    only_sales: bool = False
    """Whether the gates before have left only sales."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Those of the plan: what its orders would lead to."""


@dataclass(frozen=True)
class Gate:
    """One row of the table."""

    name: str
    limit: Callable[[Rules, Facts], Figure]
    """None where it is not asked."""
    figure: Callable[[Facts], Figure]
    passes: Callable[[Figure, Figure], bool]
    """Whether a figure that is known passes its limit."""
    says: Callable[[Figure, Figure], str]
    """The figure and its limit in words."""
    unknown: Verdict = Verdict.UNKNOWN
    """UNKNOWN where a figure that is not known passes; else what it leads to."""
    not_known: str = "it is not known"
    failed: Verdict = Verdict.CLOSED
    """What a figure that does not pass leads to."""
    why: Callable[[Facts], str] = lambda _facts: ""
    """What is known besides, for the sentence."""
    of_plan: bool = False

    def verdict(self, figure: Figure, limit: Figure) -> Verdict:
        """Return the verdict, which follows from figure and limit alone."""
        if figure in (None, "unknown"):
            return self.unknown
        if self.passes(figure, limit):
            return Verdict.OPEN
        return Verdict.REDUCE if figure == "REDUCING" else self.failed

    def answer(self, facts: Facts, rules: Rules) -> GateAnswer | None:
        """Return the answer; None where the gate is not asked."""
        limit = self.limit(rules, facts)
        if limit is None:
            return None
        figure = self.figure(facts)
        verdict, why = self.verdict(figure, limit), self.why(facts)
        said = self.not_known if figure in (None, "unknown") else self.says(figure, limit)
        sentence = f"{said}: {why}" if why else said
        return GateAnswer(gate=self.name, figure=figure, limit=limit, verdict=str(verdict), sentence=sentence)


def _equal(figure: Figure, limit: Figure) -> bool:
    return figure == limit


def _at_most(figure: Figure, limit: Figure) -> bool:
    return _number(figure) <= _number(limit) * (1 + ROUNDING)


def _at_least(figure: Figure, limit: Figure) -> bool:
    return _number(figure) >= _number(limit) * (1 - ROUNDING)


def _number(value: Figure) -> float:
    """Return a number; a text, which only a forged entry has, passes no limit."""
    return math.nan if isinstance(value, str) or value is None else float(value)


def _shares(what: str, limit_is: str = "at most {} allowed") -> Callable[[Figure, Figure], str]:
    return lambda figure, limit: f"{percent(figure, 2)} {what}, {limit_is.format(percent(limit, 2))}"


def _of_plan(name: str) -> Callable[[Facts], Figure]:
    return lambda facts: facts.figures.get(name)


def _live_ic(run: RunFacts) -> str:
    """Return the figure that decided, or that of the few days judged so far."""
    if run.live_ic_figure is None:
        return ""
    return f"{'so far it is' if run.live_ic == 'unknown' else 'it is'} {run.live_ic_figure:.4f}"


def _unless_sales(limit: Callable[[Rules, Facts], Figure]) -> Callable[[Rules, Facts], Figure]:
    """Return a limit that is not asked of sales alone: none keeps a book from becoming smaller."""
    return lambda rules, facts: None if facts.only_sales else limit(rules, facts)


GATES: Final = (
    Gate(
        "halt",
        limit=lambda _rules, _facts: NO_HALT,
        figure=lambda facts: facts.halt or NO_HALT,
        passes=_equal,
        says=lambda figure, _: "no kill switch is on" if figure == NO_HALT else f"the book is {figure}",
        why=lambda facts: facts.halt_why,
    ),
    Gate(
        DATA_AGE,
        limit=lambda rules, _facts: rules.gates.max_data_age_days,
        figure=lambda facts: SYNTHETIC if facts.run.synthetic else facts.data_age,
        passes=lambda figure, limit: figure == SYNTHETIC or _at_most(figure, limit),
        says=lambda figure, limit: (
            "the data is synthetic, which has no age"
            if figure == SYNTHETIC
            else f"{figure} sessions have closed since the last day of data, at most {limit} allowed"
        ),
        unknown=Verdict.CLOSED,
        not_known="the age of the data is not known",
    ),
    Gate(
        "golden",
        limit=lambda rules, _facts: "passed" if rules.gates.golden else None,
        figure=lambda facts: facts.run.golden,
        passes=_equal,
        says=lambda figure, _: f"the checks of a golden run have {figure}",
        unknown=Verdict.CLOSED,
        not_known="the checks of a golden run were not made",
        why=lambda facts: facts.run.golden_why,
    ),
    Gate(
        "signals",
        limit=lambda _rules, _facts: "passed",
        figure=lambda facts: facts.run.signals,
        passes=_equal,
        says=lambda figure, _: f"the check that the model gives these signals again has {figure}",
        not_known="whether the model gives these signals again was not checked, which passes",
        why=lambda facts: facts.run.signals_why,
    ),
    Gate(
        "modelAge",
        limit=lambda rules, _facts: rules.gates.max_model_age_days,
        figure=lambda facts: facts.run.model_age_days,
        passes=_at_most,
        says=lambda figure, limit: (
            f"the model was trained {figure} trading days ago, at most {limit} allowed"
        ),
        unknown=Verdict.CLOSED,
        not_known="the age of the model is not known",
    ),
    Gate(
        "liveIc",
        limit=lambda rules, _facts: "holds" if rules.gates.live_ic else None,
        figure=lambda facts: facts.run.live_ic,
        passes=_equal,
        says=lambda figure, _: f"the live IC {'has decayed' if figure == 'decayed' else figure}",
        not_known="too few days are judged to know whether the live IC holds, which passes",
        why=lambda facts: _live_ic(facts.run),
    ),
    Gate(
        "drift",
        limit=lambda rules, _facts: "none" if rules.gates.drift else None,
        figure=lambda facts: facts.run.drift,
        passes=_equal,
        says=lambda figure, _: (
            "no feature or score drifts" if figure == "none" else f"features or scores: {figure}"
        ),
        not_known="too few days are there to know whether features or scores drift, which passes",
    ),
    Gate(
        "coverage",
        limit=lambda rules, _facts: rules.gates.min_coverage,
        figure=lambda facts: facts.run.coverage,
        passes=_at_least,
        says=_shares("of the universe's traded instruments have a signal", "at least {} needed"),
        unknown=Verdict.CLOSED,
        not_known="the share of the universe that has a signal is not known",
    ),
    Gate(
        "drawdown",
        limit=lambda rules, _facts: rules.gates.max_drawdown,
        figure=lambda facts: facts.drawdown,
        passes=_at_most,
        says=_shares("lost since the peak of the account"),
        failed=Verdict.REDUCE,
    ),
    Gate(
        "dailyLoss",
        limit=lambda rules, _facts: rules.gates.max_daily_loss,
        figure=lambda facts: None if facts.day_return is None else max(0.0, -facts.day_return),
        passes=_at_most,
        says=_shares("of the account lost on the worst day since the last decision"),
        not_known="no day is reconciled yet, which passes",
        failed=Verdict.REDUCE,
    ),
    Gate(
        "turnover",
        # A book that begins has to buy everything once.
        limit=_unless_sales(lambda rules, facts: rules.limits.max_turnover if facts.holds else None),
        figure=_of_plan("turnover"),
        passes=_at_most,
        says=_shares("would be bought and sold"),
        unknown=Verdict.CLOSED,
        not_known="what would be bought and sold is not known",
        of_plan=True,
    ),
    Gate(
        "weight",
        limit=_unless_sales(lambda rules, _facts: rules.limits.max_weight),
        figure=_of_plan("maxWeight"),
        passes=_at_most,
        says=_shares("of the account would be in an instrument that is bought"),
        unknown=Verdict.CLOSED,
        not_known="the largest weight is not known",
        of_plan=True,
    ),
    Gate(
        "gross",
        limit=_unless_sales(lambda rules, _facts: rules.limits.max_gross),
        figure=_of_plan("gross"),
        passes=_at_most,
        says=_shares("of the account would be in instruments"),
        unknown=Verdict.CLOSED,
        not_known="the exposure is not known",
        of_plan=True,
    ),
    Gate(
        "names",
        limit=_unless_sales(lambda rules, _facts: rules.limits.min_names),
        figure=_of_plan("names"),
        passes=_at_least,
        says=lambda figure, limit: f"{in_digits(figure, 0)} instruments held then, at least {limit} needed",
        unknown=Verdict.CLOSED,
        not_known="the number of instruments is not known",
        of_plan=True,
    ),
    Gate(
        "participation",
        limit=_unless_sales(lambda rules, _facts: rules.limits.max_participation),
        figure=_of_plan("participation"),
        passes=_at_most,
        says=_shares("of an instrument's volume of the day would be traded"),
        not_known="the volume of an instrument is not known, which passes",
        of_plan=True,
    ),
)
"""In the order in which they are asked and shown."""
NAMES: Final = tuple(one.name for one in GATES)


def ask(facts: Facts, rules: Rules, *, of_plan: bool) -> list[GateAnswer]:
    """Return the answers of the gates on facts, or of those on the plan's figures, in the table's order."""
    answers = (one.answer(facts, rules) for one in GATES if one.of_plan is of_plan)
    return [one for one in answers if one is not None]


def decision_of(answers: Sequence[GateAnswer]) -> Decision:
    """Return what the answers lead to: the most severe verdict decides."""
    verdicts = {one["verdict"] for one in answers}
    if Verdict.CLOSED in verdicts:
        return Decision.HELD
    return Decision.REDUCING if Verdict.REDUCE in verdicts else Decision.DECIDED


def closed(answers: Sequence[GateAnswer]) -> list[GateAnswer]:
    """Return the answers of the gates that are not open: closed, or only sales pass."""
    return [one for one in answers if is_closed(one["verdict"])]
