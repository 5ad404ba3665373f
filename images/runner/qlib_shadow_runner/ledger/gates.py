"""The gates: an ordered table of pure functions. A later gate is one more row.

First the gates on facts are asked, then those on the plan's figures. Each answers with its figure, its limit,
a verdict and a sentence; the most severe verdict decides the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qlib_shadow_runner.ledger.entries import Decision, GateAnswer
    from qlib_shadow_runner.ledger.rules import Rules

Passed = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class RunFacts:
    """What the gates ask of the run and its data; a None is not known."""

    golden: Passed = "unknown"
    """Whether the run passes the checks of a golden run."""
    golden_why: str = ""
    """Which check it fails, in words."""
    signals: Passed = "unknown"
    """Whether the signals follow from the model (verify's check of them)."""
    signals_why: str = ""
    model_age_days: int | None = None
    """Trading days since the last day that the model has learned from."""
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
    holds: bool = False
    """Whether the account holds anything."""


def ask_facts(facts: Facts, rules: Rules) -> list[GateAnswer]:
    """Return the answers of the gates on facts, in the table's order."""
    raise NotImplementedError(facts, rules)


def ask_plan(
    figures: Mapping[str, float | None], facts: Facts, rules: Rules, *, only_sales: bool
) -> list[GateAnswer]:
    """Return the answers of the gates on what the plan's orders would lead to, in the table's order."""
    raise NotImplementedError(figures, facts, rules, only_sales)


def decision_of(answers: Sequence[GateAnswer]) -> Decision:
    """Return what the answers lead to: the most severe verdict decides."""
    raise NotImplementedError(answers)


def closed(answers: Sequence[GateAnswer]) -> list[GateAnswer]:
    """Return the answers of the gates that are not open: closed, or only sales pass."""
    raise NotImplementedError(answers)
