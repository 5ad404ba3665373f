"""Limits that no night can keep are told of, and those that one can keep are not."""

from __future__ import annotations

from typing import Final

import pytest

from qlib_shadow_runner.ledger.contradictions import contradictions
from qlib_shadow_runner.ledger.rules import Limits, Targets

FIVE: Final = Targets(topk=5, n_drop=1)
WRONG: Final = {
    "a weight": (FIVE, Limits(max_weight=0.1), None, "maxWeight is 10.0%, and 5 instruments have 19.0% of"),
    "a weight of few": (Targets(20, 2), Limits(max_weight=0.1), 5, "5 instruments have 19.0%"),
    "names": (FIVE, Limits(min_names=6), None, "minNames is 6, and at most 5 instruments are held"),
    "names of few": (Targets(50, 5), Limits(min_names=50), 20, "at most 20 instruments are held"),
    "turnover": (FIVE, Limits(max_turnover=0.3), None, "replacing 1 of 5 instruments trades 38.0%"),
    "gross": (FIVE, Limits(max_gross=0.9), None, "maxGross is 90.0%, and 95.0% of the account is invested"),
}


@pytest.mark.parametrize(("targets", "limits", "instruments", "words"), WRONG.values(), ids=WRONG)
def test_a_limit_that_cannot_hold_is_told_of(
    targets: Targets, limits: Limits, instruments: int | None, words: str
):
    """By the limit's name, with what exceeds it and what to write instead."""
    [sentence] = contradictions(targets, limits, instruments)
    assert words in sentence
    assert sentence.startswith("spec.ledger.limits.")


def test_limits_that_can_hold_are_not_told_of():
    """At the very figure as above it; and without any limit."""
    limits = Limits(max_weight=0.19, max_turnover=0.38, min_names=5, max_gross=0.95)
    assert contradictions(FIVE, limits, 100) == []
    assert contradictions(FIVE, Limits()) == []
    assert contradictions(FIVE, limits, 0) == []
