"""The mean of overlapping days held against chance, compared with SciPy and with a second computation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]
from tests.unit.runner.report.independent_figures import t_by_cosines

from qlib_shadow_runner.analysis.chance import Chance, count_cosines, two_sided

VALUES = np.random.default_rng(5).normal(0.02, 0.1, 945)


def test_p_is_that_of_students_distribution():
    """For odd and even degrees of freedom, near zero and far from it."""
    for freedom in (*range(1, 60), 200):
        for t in (-7.0, -2.4, 0.0, 0.3, 2.0, 3.5, 9.0):
            assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-12)


@pytest.mark.parametrize(
    ("days", "horizon", "cosines"), [(945, 1, 38), (945, 5, 38), (945, 20, 23), (252, 20, 6), (20, 1, 5)]
)
def test_cosines_are_half_as_many_as_blocks(days: int, horizon: int, cosines: int):
    """Or by fewer in a long sample, where the values may change slowly for other reasons."""
    found = Chance.of(VALUES[:days], horizon)
    assert found is not None
    assert (found.cosines, found.blocks) == (cosines, days // horizon)
    assert found.t == pytest.approx(t_by_cosines(VALUES[:days], cosines))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.t or 0), cosines), abs=1e-12)


def test_sentence_says_t_and_the_blocks():
    """Or why there is no t."""
    samples = ((945, 20), (945, 1), (126, 20), (9, 1))
    found = [Chance.of(VALUES[:days], horizon) for days, horizon in samples]
    assert [one and one.words.replace(f"{one.t or 0:.1f}", "T") for one in found] == [
        (
            "t = T with 23 degrees of freedom, p below 0.1%; "
            "945 days of a 20-day label are 47 independent blocks"
        ),
        "t = T with 38 degrees of freedom, p below 0.1%",
        "no t: 126 days of a 20-day label are 6 independent blocks, and a verdict needs 10",
        "no t: there are 9 days, and a verdict needs 10",
    ]
    assert [one and one.sign for one in found] == [1, 1, None, None]


def test_days_without_a_value_do_not_count():
    """Equal values have no t, since their variance is zero; no values have no test."""
    assert Chance.of([*VALUES, np.nan, np.inf], 5) == Chance.of(VALUES, 5)
    same = Chance.of([0.5] * 60, 1)
    assert same is not None
    assert (same.t, same.sign, same.words) == (None, None, "no t: every day has the same value")
    assert Chance.of([np.nan], 1) is None
    assert Chance.of(None, 1) is None
    assert count_cosines(199, 20) == 0
