"""What the resource shows of a run's ledger, and nothing of a run without one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.builders import Scene, a_run, result

from qlib_shadow_operator.kube.parse import parse_status
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_operator.schedule.parse_schedule import parse_schedule
from qlib_shadow_runner.contract import Stage

HEAD = "9c" * 32
HELD = "book us-shadow: Held: drift is drifting (12.1 in features, limit 8.0)"
LEDGER: dict[str, Any] = {
    "book": "us-shadow",
    "day": "2026-11-20",
    "decision": "Decided",
    "late": False,
    "recorded": "new",
    "orders": 12,
    "turnover": 0.081,
    "nav": 1_003_210.0,
    "drawdown": 0.0,
    "head": HEAD,
    "entries": 7,
}


def a_night(message: str = "book us-shadow: Decided for 2026-11-20, 12 orders", **ledger: Any) -> Scene:
    """Return a run whose ledger stage has just ended."""
    told = {key: value for key, value in {**LEDGER, **ledger}.items() if value is not None}
    scene = a_run(question={"ledger": {"book": "us-shadow", "capital": 1e6}}).seen()
    for stage in (Stage.DOWNLOAD, Stage.QRUN):
        scene = scene.succeeded(stage).seen(minutes=1)
    return scene.succeeded(Stage.LEDGER, result(Stage.LEDGER, message=message, ledger=told))


def test_the_status_has_the_ledger_and_keeps_it():
    """As the stage has told it, also once its pod is gone."""
    status = a_night().decide(minutes=2).status
    assert render_status(status)["ledger"] == LEDGER
    assert parse_status(render_status(status)).ledger == LEDGER
    assert status.is_true(ConditionType.COMPLETE)
    assert a_night().seen(minutes=2).without_job(Stage.LEDGER).decide(minutes=3).status.ledger == LEDGER


def test_open_gates_pass():
    """The condition says for which day."""
    condition = a_night().decide(minutes=2).status.condition(ConditionType.GATES_PASSED)
    assert condition is not None
    assert (condition.status, condition.reason) == (True, "GatesOpen")
    assert condition.message == "book us-shadow: every gate was open for 2026-11-20"


@pytest.mark.parametrize("decision", ["Held", "Reducing"])
def test_a_closed_gate_is_on_the_resource(decision: str):
    """By name, with figure and limit; the run is complete all the same, and the Event is a warning."""
    decided = a_night(HELD, decision=decision, orders=0, closedGates="drift,halt").decide(minutes=2)
    condition = decided.status.condition(ConditionType.GATES_PASSED)
    [event] = [one for one in decided.notes if one.reason == "LedgerRecorded"]
    assert condition is not None
    assert (condition.status, condition.reason) == (False, "GatesClosed")
    assert condition.message == f"drift, halt: {HELD}"
    assert HELD in event.message
    assert decided.status.is_true(ConditionType.COMPLETE)
    assert event.warning


def test_data_that_has_grown_old_since_a_day_was_decided_closes_the_gates_of_the_run():
    """The decision stays what it was; the feed has stopped, and each night finds the day recorded already."""
    told = "book us-shadow: the decision of 2026-11-20 is recorded already; dataAge: 5 sessions have closed"
    status = a_night(told, recorded="already", closedGates="dataAge").decide(minutes=2).status
    condition = status.condition(ConditionType.GATES_PASSED)
    assert condition is not None
    assert (condition.status, condition.message) == (False, f"dataAge: {told}")
    assert status.summary["ledger"] == "Decided"


def test_the_event_has_the_head_of_the_chain():
    """Once: it is what a forged chain is held against."""
    first = a_night().decide(minutes=2)
    [event] = [one for one in first.notes if one.reason == "LedgerRecorded"]
    assert not event.warning
    assert event.message.endswith(f"; head of the book us-shadow is {HEAD}, entry 7")
    again = a_night().seen(minutes=2).decide(minutes=3)
    assert not [one for one in again.notes if one.reason == "LedgerRecorded"]


@pytest.mark.parametrize(
    ("told", "column"),
    [
        ({}, "Decided"),
        ({"decision": "Held"}, "Held"),
        ({"late": True}, "Late"),
        ({"recorded": "already"}, "Decided"),
        ({"recorded": "behind", "decision": None}, "Behind"),
    ],
)
def test_the_column_has_one_word(told: dict[str, Any], column: str):
    """A decision that is never filled is not shown as one."""
    assert a_night(**told).decide(minutes=2).status.summary["ledger"] == column


def test_a_run_behind_its_book_asked_no_gate():
    """Nothing was decided, so nothing passed."""
    status = a_night(recorded="behind", decision=None).decide(minutes=2).status
    assert status.condition(ConditionType.GATES_PASSED) is None


@pytest.mark.parametrize(("of_qrun", "closed"), [(True, True), (True, False)])
def test_the_network_of_the_ledger_is_looked_at_too(of_qrun: bool, closed: bool):  # noqa: FBT001
    """By a policy of an earlier version it is open; the sentence names the stage."""
    scene = a_run(question={"ledger": {"book": "us-shadow"}}).seen().succeeded(Stage.DOWNLOAD)
    qrun, ledger = scene.decide(minutes=1).queries
    found = scene.answered(qrun, of_qrun).answered(ledger, closed).decide(minutes=1)
    condition = found.status.condition(ConditionType.NETWORK_CLOSED)
    assert condition is not None
    assert condition.status is closed
    assert ("the stages qrun and ledger" if closed else "the ledger stage") in condition.message


def test_a_run_without_a_ledger_shows_nothing_of_one():
    """Neither a field, nor a condition, nor a column."""
    scene = a_run().seen().succeeded(Stage.DOWNLOAD).seen(minutes=1).succeeded(Stage.QRUN)
    document = render_status(scene.decide(minutes=2).status)
    assert "ledger" not in json.dumps(document).lower()
    assert "GatesPassed" not in json.dumps(document)


def test_a_schedule_passes_the_ledger_on():
    """Its series is the schedule's; the book is what the spec names."""
    schedule = parse_schedule("name: nightly\nrun: {spec: {ledger: {book: us-shadow, capital: 1000000}}}")
    assert schedule.spec["ledger"] == {"book": "us-shadow", "capital": 1e6}


def test_a_damaged_book_fails_the_run_and_is_not_tried_again():
    """The Job's rule for its exit code ends it; the status has the runner's reason."""
    scene = a_run(question={"ledger": {"book": "us-shadow"}}).seen()
    for stage in (Stage.DOWNLOAD, Stage.QRUN):
        scene = scene.succeeded(stage).seen(minutes=1)
    told = result(Stage.LEDGER, "LedgerDamaged", "chain/000019.json was changed. Nothing was written.")
    status = scene.failed(Stage.LEDGER, 15, told).decide(minutes=2).status
    failed = status.condition(ConditionType.FAILED)
    assert failed is not None
    assert failed.reason == "LedgerDamaged"
    assert status.metrics, "what the training has found stays"
