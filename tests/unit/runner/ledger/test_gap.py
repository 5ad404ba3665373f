"""How far an account moves away from its backtest, and what is called more than chance."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from tests.bench.promise.books import differences, returns

from qlib_shadow_runner.ledger.bands import FEWEST, OF_TRACKING
from qlib_shadow_runner.ledger.gap import gap_of

FIRST = date(2026, 3, 2)


def account(changes: list[float], start: float = 100.0) -> dict[date, float]:
    """Return an account's value by day, which changes so from one to the next, in shares of its start."""
    values = np.cumsum([1.0, *changes]) * start
    return {FIRST + timedelta(days=number): float(value) for number, value in enumerate(values)}


def test_only_the_days_in_common_are_compared():
    """Each account counts from their first one, whatever it was worth."""
    paper, backtest = account([0.1, 0.1, 0.1]), account([0.5, 0.2, 0.3, 0.4], start=7.0)
    del paper[FIRST]
    gap = gap_of(paper, backtest)
    assert gap is not None
    assert gap.total == pytest.approx(1.3 / 1.1 - 2.0 / 1.5)
    assert (gap.band, gap.is_beyond) == (None, None)
    assert gap_of({FIRST: 1.0}, backtest) is None
    assert gap_of(dict.fromkeys(paper, 0.0), backtest) is None


@pytest.mark.parametrize(("days", "is_beyond"), [(FEWEST - 1, None), (FEWEST, True)])
def test_a_steady_loss_against_the_backtest_is_more_than_chance(days: int, *, is_beyond: bool | None):
    """After enough days."""
    daily = np.random.default_rng(1).normal(0.0, 0.01, days)
    slower = daily - 0.001 - 0.0002 * np.arange(days) % 2
    gap = gap_of(account(list(slower)), account(list(daily)))
    assert gap is not None
    assert gap.is_beyond is is_beyond


def test_the_same_account_is_not_called_another_for_its_last_digits():
    """Parity holds to 1e-9, not to the last bit."""
    daily = list(np.random.default_rng(1).normal(0.0, 0.01, 60))
    gap = gap_of(account([one + 1e-10 for one in daily]), account(daily))
    assert gap is not None
    assert gap.is_beyond is False


def test_differences_by_chance_are_rarely_called_more():
    """A sample of `make calibrate-promise`, which counts as this module does, every night for a year."""
    generator = np.random.default_rng(1)
    nights = differences(generator, 400, 1.0, nights=250)[:, FEWEST - 1 :]
    assert (nights > OF_TRACKING).any(axis=1).mean() <= 0.05
    [daily] = returns(np.random.default_rng(2), 1, 250)
    gap = gap_of(account(list(daily)), account([0.0] * 250))
    assert gap is not None
    assert gap.band == pytest.approx(OF_TRACKING * daily.std(ddof=1) * 250**0.5)
