"""docs/states.md says what the tables say, and the tables make sense."""

from __future__ import annotations

from tests.unit.operator.model.states_page import PAGE, page

from qlib_shadow_operator.runs.names import FINISHED, StageState
from qlib_shadow_operator.runs.transitions import STAGE_TRANSITIONS, is_legal


def test_the_page_is_current():
    """The tables, the docstrings and their order are on the page."""
    assert PAGE.read_text() == page(), "docs/states.md is stale; run: make docs"


def test_every_state_has_its_ways_and_only_the_finished_have_none():
    """No state is a trap but the two that are meant to be."""
    assert set(STAGE_TRANSITIONS) == set(StageState)
    assert {state for state, there in STAGE_TRANSITIONS.items() if not there} == FINISHED


def test_every_state_can_be_reached():
    """From the beginning, by legal ways."""
    reached = {StageState.PENDING}
    while more := {after for state in reached for after in STAGE_TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == set(StageState)


def test_what_is_finished_goes_nowhere_and_staying_is_no_way():
    """A state may last; an end may not be left."""
    assert is_legal(StageState.RUNNING, StageState.RUNNING)
    assert not is_legal(StageState.SUCCEEDED, StageState.RUNNING)
    assert not is_legal(StageState.RUNNING, StageState.PENDING)
