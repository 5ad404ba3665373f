"""docs/failures.md explains every reason once, and is current."""

from __future__ import annotations

from tests.contract.failures_page import ENDED, ENDLESS, NO_FAILURES, OPERATOR, PAGE, STAGE, page

from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import Reason


def test_failures_page_is_current():
    """It contains the tables and the constants."""
    assert PAGE.read_text() == page(), (
        "docs/failures.md is stale; run: python -m tests.contract.failures_page"
    )


def test_every_reason_of_the_runner_is_explained():
    """All but Succeeded."""
    assert set(STAGE) == set(Reason) - {Reason.SUCCEEDED}


def test_every_reason_of_the_operator_is_explained_once():
    """In exactly one table."""
    assert sorted([*OPERATOR, *ENDLESS, *ENDED, *NO_FAILURES]) == sorted(OperatorReason)


def test_every_failure_has_a_remedy():
    """Cause and remedy are never empty."""
    for means, remedy in [*STAGE.values(), *OPERATOR.values(), *ENDED.values()]:
        assert means.endswith(".")
        assert remedy
