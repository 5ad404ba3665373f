"""The paired difference of two daily series: it calls as many false differences as it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.analysis.paired import PairedDifference, paired_difference

DAYS = 500


def series(values: np.ndarray) -> pd.Series:
    """Return a series by day."""
    return pd.Series(values, index=pd.bdate_range("2020-01-01", periods=len(values)))


def overlapping(random: np.random.Generator, days: int, horizon: int) -> np.ndarray:
    """Return means of fat-tailed values over a horizon, so that neighbours overlap."""
    steps = random.standard_t(4, days + horizon - 1)
    return np.convolve(steps, np.ones(horizon) / horizon, "valid")


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_false_differences_are_as_rare_as_promised(horizon: int):
    """Of 200 pairs without a difference at most 21: of a rate of 5%, more in one case of a thousand."""
    random, zero = np.random.default_rng(horizon), series(np.zeros(DAYS))
    false = 0
    for _ in range(200):
        found = paired_difference(series(overlapping(random, DAYS, horizon)), zero, horizon)
        assert found is not None
        false += found.is_beyond_chance
    assert false <= 21


def test_a_real_difference_is_found():
    """An IC that is higher by half its daily deviation."""
    random = np.random.default_rng(3)
    one, other = series(random.normal(0.05, 0.1, DAYS)), series(random.normal(0, 0.1, DAYS))
    found = paired_difference(one, other)
    assert found is not None
    assert found.low is not None
    assert 0 < found.low < found.mean
    assert paired_difference(one, other) == found


def test_only_common_days_count():
    """A pair without one has no difference; a short one has no interval."""
    one = series(np.arange(100.0))
    assert paired_difference(one, one.iloc[:0]) is None
    assert paired_difference(one, None) is None
    assert paired_difference(one, one.iloc[60:] - 1) == PairedDifference(40, 40, 1.0)
    few = paired_difference(one**2, one.iloc[60:] * 0, 20)
    assert few is not None
    assert (few.blocks, few.low, few.p) == (2, None, None)


def test_a_constant_difference_has_no_interval():
    """Without a deviation there is nothing to judge by."""
    one = series(np.arange(400.0))
    assert paired_difference(one, one) == PairedDifference(400, 400, 0.0)
