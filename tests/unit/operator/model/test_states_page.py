"""docs/states.md is current, and the table of transitions is consistent."""

from __future__ import annotations

from tests.unit.operator.model.states_page import PAGE, page

from qlib_shadow_operator.runs.names import FINISHED, StageState
from qlib_shadow_operator.runs.transitions import STAGE_TRANSITIONS, is_legal


def test_states_page_is_current():
    """It contains the tables and the docstrings in their order."""
    assert PAGE.read_text() == page(), "docs/states.md is stale; run: make docs"


def test_only_finished_states_have_no_transitions():
    """Only Succeeded and Failed are final."""
    assert set(STAGE_TRANSITIONS) == set(StageState)
    assert {state for state, there in STAGE_TRANSITIONS.items() if not there} == FINISHED


def test_every_state_can_be_reached():
    """From Pending, by allowed transitions."""
    reached = {StageState.PENDING}
    while more := {after for state in reached for after in STAGE_TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == set(StageState)


def test_is_legal_allows_staying_but_no_way_back():
    """A state may last; a final state may not be left."""
    assert is_legal(StageState.RUNNING, StageState.RUNNING)
    assert not is_legal(StageState.SUCCEEDED, StageState.RUNNING)
    assert not is_legal(StageState.RUNNING, StageState.PENDING)
