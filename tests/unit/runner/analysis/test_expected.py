"""The return to expect of a rank: without a look ahead, monotone, and judged by what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.analysis.expected import (
    DAYS,
    FEWEST,
    Scored,
    Standing,
    expected_returns,
    monotone,
    scored_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

AHEAD = 2


def market(seed: int, ic: float, *, days: int = 500, names: int = 60, halved_from: int = 10**9) -> Scored:
    """Return signals with a planted correlation and heavy-tailed returns, best first on each day."""
    rng = np.random.default_rng(seed)
    score = rng.standard_normal((days, names))
    strength = np.where(np.arange(days) < halved_from, ic, -ic)[:, None]
    label = 0.01 * rng.standard_t(4, (days, names)) + 0.0004 + strength * 0.015 * score
    label = np.take_along_axis(label, np.argsort(-score, axis=1), 1)
    label[-AHEAD:] = np.nan
    percentile = np.tile((names - np.arange(names)) / names, days)
    return Scored(np.repeat(np.arange(days), names), percentile, label.ravel())


def test_no_day_looks_ahead():
    """Whatever comes later than a day can know, its expected returns stay."""
    whole = market(1, 0.05)
    found = expected_returns(whole, AHEAD, 1)
    for day in (FEWEST + AHEAD, 200, 499):
        label = whole.label.copy()
        label[whole.day > day - AHEAD] = 7.0
        again = expected_returns(Scored(whole.day, whole.percentile, label), AHEAD, 1)
        today = whole.day == day
        assert np.isfinite(found[today]).all()
        np.testing.assert_array_equal(again[today], found[today])
        label[whole.day == day - AHEAD] = np.linspace(1, 0, int(today.sum()))
        other = expected_returns(Scored(whole.day, whole.percentile, label), AHEAD, 1)
        assert (other[today] != found[today]).any(), "the last known day counts"


def test_a_better_rank_never_expects_less_and_few_days_expect_nothing():
    """From the first day on that knows enough outcomes."""
    whole = market(2, 0.05)
    table = expected_returns(whole, AHEAD, 1).reshape(500, 60)
    assert np.isnan(table[: FEWEST + AHEAD - 1]).all()
    assert np.isfinite(table[FEWEST + AHEAD - 1 :]).all()
    assert (np.diff(table[FEWEST + AHEAD - 1 :], axis=1) <= 0).all()
    assert table[-1, 0] > 0 > table[-1, -1]


def test_the_past_is_forgotten():
    """After so many days nothing of a market that has turned is left."""
    turned = market(3, 0.2, days=2 * DAYS + 100, halved_from=200)
    table = expected_returns(turned, AHEAD, 1).reshape(-1, 60)
    assert table[199, 0] > 0.001
    assert (table[200 + DAYS + AHEAD] == 0).all(), "worse ranks did better, and no order is expected"


@pytest.mark.parametrize("seed", range(4))
def test_monotone_is_the_nearest_that_never_falls(seed: int):
    """As its min-max formula says: the least upper mean of the greatest lower mean."""
    rng = np.random.default_rng(seed)
    values, weights = rng.standard_normal(12), rng.integers(1, 9, 12).astype(float)

    def mean(first: int, last: int) -> float:
        return float(np.average(values[first : last + 1], weights=weights[first : last + 1]))

    expected = [
        max(min(mean(first, last) for last in range(place, 12)) for first in range(place + 1))
        for place in range(12)
    ]
    np.testing.assert_allclose(monotone(values, weights), expected)


def verdicts(ic: float, count: int = 12) -> list[str]:
    """Return the verdicts on so many markets."""
    found = []
    for seed in range(count):
        scored = market(100 + seed, ic, names=100)
        standing = Standing.of(scored, expected_returns(scored, AHEAD, 1), 1)
        assert standing is not None
        found.append(standing.verdict)
    return found


def test_noise_is_called_noise_and_a_signal_is_as_expected():
    """In simulated markets; docs/report.md has the figures of many more."""
    noise = verdicts(0.0)
    assert not [one for one in noise if one.startswith(("the order is right", "the outcomes are as"))]
    signal = verdicts(0.08)
    assert signal.count("the outcomes are as expected, within chance") >= 9


def test_outcomes_that_turn_are_told():
    """The order was right in the past, and is wrong on most days of the test."""
    scored = market(4, 0.2, halved_from=100, names=100)
    standing = Standing.of(scored, expected_returns(scored, AHEAD, 1), 1)
    assert standing is not None
    assert standing.slope is not None
    assert standing.slope < 0
    assert standing.verdict == "the outcomes do not follow it beyond chance: do not weigh by it"
    assert standing.expected[0] > 0 > standing.realized[0]


@pytest.mark.parametrize(
    "label",
    [
        np.full(400, np.nan),
        np.zeros(400),
        np.full(400, np.inf),
        np.tile([np.inf, -np.inf, np.nan, 0.1], 100),
    ],
)
@pytest.mark.parametrize("names", [1, 4])
def test_labels_without_figures_give_no_figures(label: NDArray[np.float64], names: int):
    """And no warning."""
    scored = Scored(
        np.repeat(np.arange(400 // names), names),
        np.tile(np.arange(names, 0, -1) / names, 400 // names),
        label,
    )
    found = expected_returns(scored, AHEAD, 1)
    assert not np.isinf(found).any()
    standing = Standing.of(scored, found, 1)
    assert standing is None or standing.slope is None or np.isfinite(standing.slope)


def test_nothing_is_expected_of_nothing():
    """Of a table without rows."""
    nothing = Scored(np.empty(0, np.int64), np.empty(0), np.empty(0))
    assert len(expected_returns(nothing, AHEAD, 1)) == 0


def test_signals_are_taken_in_the_order_of_their_ranks():
    """Equal scores by name, whatever the order of the rows."""
    index = pd.MultiIndex.from_tuples(
        [("2020-01-02", "B"), ("2020-01-01", "B"), ("2020-01-02", "A"), ("2020-01-01", "A")]
    )
    scores = pd.Series([1.0, 5.0, 1.0, 2.0], index)
    labels = pd.Series([0.4, 0.1, 0.3], index[[0, 1, 2]])
    scored = scored_of(scores, labels)
    assert scored.day.tolist() == [0, 0, 1, 1]
    assert scored.percentile.tolist() == [1.0, 0.5, 1.0, 0.5]
    np.testing.assert_array_equal(scored.label, [0.1, np.nan, 0.3, 0.4])
