"""Each gate is opened, closed and unknown, by a table; the most severe verdict decides the day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runner.ledger.small_market import GOOD, RULES

from qlib_shadow_runner.ledger.decide import weigh
from qlib_shadow_runner.ledger.entries import Decision, Verdict
from qlib_shadow_runner.ledger.gates import GATES, NAMES, Facts, ask, closed, decision_of
from qlib_shadow_runner.ledger.plan import Plan
from qlib_shadow_runner.ledger.rules import GateRules, Limits

if TYPE_CHECKING:
    from qlib_shadow_runner.ledger.rules import Rules

STRICT: Final = replace(
    RULES,
    gates=GateRules(max_model_age_days=20, max_drawdown=0.1, max_daily_loss=0.03),
    limits=Limits(max_weight=0.4, max_turnover=0.5, min_names=3, max_gross=0.95, max_participation=0.01),
)
GOOD_FIGURES: Final = {
    "turnover": 0.4,
    "gross": 0.95,
    "names": 3.0,
    "maxWeight": 0.4,
    "participation": 0.01,
}
OPEN: Final = Facts(run=GOOD, data_age=0, drawdown=0.1, day_return=-0.03, holds=True, figures=GOOD_FIGURES)
"""Every figure is good enough, those with limits just so."""


def of_run(**changes: Any) -> Facts:
    """Return facts of which one of the run is another."""
    return replace(OPEN, run=replace(GOOD, **changes))


def of_plan(**changes: Any) -> Facts:
    """Return facts of which one figure of the plan is another."""
    return replace(OPEN, figures={**GOOD_FIGURES, **changes})


TABLE: Final[list[tuple[str, Facts, Verdict, str]]] = [
    ("halt", OPEN, Verdict.OPEN, "no kill switch is on"),
    (
        "halt",
        replace(OPEN, halt="HALTED", halt_why="a strike"),
        Verdict.CLOSED,
        "the book is HALTED: a strike",
    ),
    ("halt", replace(OPEN, halt="REDUCING"), Verdict.REDUCE, "the book is REDUCING"),
    ("dataAge", replace(OPEN, data_age=4), Verdict.OPEN, "4 sessions have closed since the last day of data"),
    ("dataAge", replace(OPEN, data_age=5), Verdict.CLOSED, "5 sessions have closed"),
    ("dataAge", replace(OPEN, data_age=None), Verdict.CLOSED, "not known"),
    ("dataAge", replace(of_run(synthetic=True), data_age=999), Verdict.OPEN, "synthetic, which has no age"),
    ("golden", OPEN, Verdict.OPEN, "have passed"),
    ("golden", of_run(golden="failed", golden_why="no report"), Verdict.CLOSED, "have failed: no report"),
    ("golden", of_run(golden="unknown"), Verdict.CLOSED, "were not made"),
    ("signals", OPEN, Verdict.OPEN, "has passed"),
    ("signals", of_run(signals="failed", signals_why="AAA differs"), Verdict.CLOSED, "failed: AAA differs"),
    ("signals", of_run(signals="unknown"), Verdict.UNKNOWN, "was not checked, which passes"),
    ("modelAge", of_run(model_age_days=20), Verdict.OPEN, "20 trading days ago, at most 20 allowed"),
    ("modelAge", of_run(model_age_days=21), Verdict.CLOSED, "21 trading days ago"),
    ("modelAge", of_run(model_age_days=None), Verdict.CLOSED, "is not known"),
    ("liveIc", OPEN, Verdict.OPEN, "the live IC holds: it is 0.0300"),
    ("liveIc", of_run(live_ic="decayed"), Verdict.CLOSED, "the live IC has decayed: it is 0.0300"),
    ("liveIc", of_run(live_ic="unknown", live_ic_figure=None), Verdict.UNKNOWN, "too few days are judged"),
    ("liveIc", of_run(live_ic="unknown"), Verdict.UNKNOWN, "which passes: so far it is 0.0300"),
    ("drift", OPEN, Verdict.OPEN, "no feature or score drifts"),
    ("drift", of_run(drift="drifting"), Verdict.CLOSED, "features or scores: drifting"),
    ("drift", of_run(drift="unknown"), Verdict.UNKNOWN, "which passes"),
    ("coverage", of_run(coverage=0.8), Verdict.OPEN, "80.00% of the universe's traded instruments"),
    ("coverage", of_run(coverage=0.79), Verdict.CLOSED, "at least 80.00% needed"),
    ("coverage", of_run(coverage=None), Verdict.CLOSED, "is not known"),
    ("drawdown", OPEN, Verdict.OPEN, "10.00% lost since the peak of the account, at most 10.00% allowed"),
    ("drawdown", replace(OPEN, drawdown=0.11), Verdict.REDUCE, "11.00% lost"),
    ("drawdown", replace(OPEN, drawdown=None), Verdict.UNKNOWN, "not known"),
    ("dailyLoss", OPEN, Verdict.OPEN, "3.00% of the account lost on the day"),
    ("dailyLoss", replace(OPEN, day_return=-0.031), Verdict.REDUCE, "3.10%"),
    ("dailyLoss", replace(OPEN, day_return=0.5), Verdict.OPEN, "0.00%"),
    ("dailyLoss", replace(OPEN, day_return=None), Verdict.UNKNOWN, "no day is reconciled yet, which passes"),
    ("turnover", of_plan(turnover=0.5), Verdict.OPEN, "50.00% would be bought and sold, at most 50.00%"),
    ("turnover", of_plan(turnover=0.51), Verdict.CLOSED, "51.00% would be bought and sold"),
    ("turnover", of_plan(turnover=None), Verdict.CLOSED, "not known"),
    ("weight", OPEN, Verdict.OPEN, "40.00% of the account would be in one instrument"),
    ("weight", of_plan(maxWeight=0.41), Verdict.CLOSED, "41.00%"),
    ("weight", of_plan(maxWeight=None), Verdict.CLOSED, "not known"),
    ("gross", OPEN, Verdict.OPEN, "95.00% of the account would be in instruments"),
    ("gross", of_plan(gross=0.96), Verdict.CLOSED, "96.00%"),
    ("gross", of_plan(gross=None), Verdict.CLOSED, "not known"),
    ("names", OPEN, Verdict.OPEN, "3 instruments held then, at least 3 needed"),
    ("names", of_plan(names=2.0), Verdict.CLOSED, "2 instruments"),
    ("names", of_plan(names=None), Verdict.CLOSED, "not known"),
    ("participation", OPEN, Verdict.OPEN, "1.00% of an instrument's volume of the day would be traded"),
    ("participation", of_plan(participation=0.011), Verdict.CLOSED, "1.10%"),
    ("participation", of_plan(participation=None), Verdict.CLOSED, "not known"),
]


@pytest.mark.parametrize(("name", "facts", "verdict", "said"), TABLE)
def test_each_gate_opens_closes_and_says_what_it_does_not_know(
    name: str, facts: Facts, verdict: Verdict, said: str
):
    """All others are open meanwhile, so that the verdict is its own."""
    gate = next(one for one in GATES if one.name == name)
    answers = ask(facts, STRICT, of_plan=gate.of_plan)
    answer = next(one for one in answers if one["gate"] == name)
    assert answer["verdict"] == verdict
    assert said in answer["sentence"]
    assert closed(answers) == ([answer] if verdict in (Verdict.CLOSED, Verdict.REDUCE) else [])


def test_the_table_has_a_row_for_each_verdict_of_each_gate():
    """A later gate cannot be forgotten here."""
    assert {one[0] for one in TABLE} == set(NAMES)
    for name in NAMES:
        verdicts = {one[2] for one in TABLE if one[0] == name}
        assert Verdict.OPEN in verdicts
        assert verdicts & {Verdict.CLOSED, Verdict.REDUCE}


def test_all_gates_are_asked_in_the_order_of_the_table():
    """First those on facts, then those on the plan."""
    asked = [*ask(OPEN, STRICT, of_plan=False), *ask(OPEN, STRICT, of_plan=True)]
    assert tuple(one["gate"] for one in asked) == NAMES
    assert decision_of(asked) is Decision.DECIDED


def test_limits_that_are_not_set_are_not_asked():
    """Whether a kill switch is on and the signals are reproduced is always asked."""
    nothing = replace(
        RULES,
        gates=GateRules(max_data_age_days=None, live_ic=False, drift=False, golden=False, min_coverage=None),
    )
    assert [one["gate"] for one in ask(OPEN, nothing, of_plan=False)] == ["halt", "signals"]
    assert ask(OPEN, nothing, of_plan=True) == []


def test_turnover_is_not_asked_while_the_book_holds_nothing():
    """Its first purchases are all that it has."""
    begins = replace(of_plan(turnover=0.95), holds=False)
    assert "turnover" not in {one["gate"] for one in ask(begins, STRICT, of_plan=True)}


def test_sales_alone_are_not_held_by_what_sales_lead_to():
    """Fewer names and larger weights of a smaller account do not keep a loss."""
    sales = replace(of_plan(names=1.0, maxWeight=0.9, gross=0.99), only_sales=True)
    asked = ask(sales, STRICT, of_plan=True)
    assert [one["gate"] for one in asked] == ["turnover", "participation"]
    assert closed(asked) == []


def test_a_gate_on_facts_that_is_closed_asks_for_no_plan():
    """There may be none that makes sense."""

    def plan(_sales: bool) -> Plan:  # noqa: FBT001 - as weigh calls it
        raise AssertionError

    held = weigh(of_run(golden="failed"), STRICT, plan)
    assert (held.decision, held.plan) == (Decision.HELD, None)


def test_a_gate_that_reduces_asks_for_sales_alone():
    """And a closed one is more severe than it."""
    asked: list[bool] = []

    def plan(sales: bool) -> Plan:  # noqa: FBT001 - as weigh calls it
        asked.append(sales)
        return Plan({}, (), GOOD_FIGURES)

    assert weigh(replace(OPEN, drawdown=0.2), STRICT, plan).decision is Decision.REDUCING
    assert asked == [True]
    both = replace(OPEN, drawdown=0.2, halt="HALTED")
    assert weigh(both, STRICT, plan).decision is Decision.HELD
    over = weigh(OPEN, STRICT, lambda _sales: Plan({}, (), {**GOOD_FIGURES, "turnover": 0.9}))
    assert over.decision is Decision.HELD
    assert over.plan is not None


@given(st.sampled_from(GATES), st.one_of(st.floats(0, 2), st.none(), st.text(max_size=9)), st.floats(0.01, 1))
def test_a_verdict_follows_from_figure_and_limit_alone(gate: Any, figure: Any, limit: float):
    """So that a recorded answer can be checked without the facts."""
    if isinstance(figure, str) is not isinstance(gate.limit(STRICT, OPEN), str):
        return
    wanted = gate.limit(STRICT, OPEN) if isinstance(figure, str) else limit
    assert gate.verdict(figure, wanted) in Verdict
    assert gate.verdict(None, wanted) is gate.unknown


def test_rounding_alone_closes_no_gate():
    """Equal weights of a hundredth are at times one part in 1e16 more."""
    rules: Rules = replace(STRICT, limits=Limits(max_weight=0.01))
    facts = of_plan(maxWeight=0.01 * (1 + 1e-12))
    assert closed(ask(facts, rules, of_plan=True)) == []
