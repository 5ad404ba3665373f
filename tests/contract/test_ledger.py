"""What the operator knows of a book's gates without importing the ledger."""

from __future__ import annotations

from qlib_shadow_operator.telemetry.scrape import GATES
from qlib_shadow_runner.ledger import gates


def test_the_label_of_a_gate_has_the_names_of_the_table():
    """A gate that is one more row needs its name there, or it is Other."""
    assert {gate.name for gate in gates.GATES} == GATES
