"""Which days a live model learns from, and of which days it makes the signals."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from qlib_shadow_runner.contract.spec.workflow import Segments
from qlib_shadow_runner.discovery.live_days import LiveDays

DAYS = [date(2025, 1, 1) + timedelta(days=number) for number in range(100)]


def live(last: int = 99, ahead: int = 2, horizon: int = 1, known: int = 100) -> LiveDays | None:
    """Return the live days of a run whose test ends on this day."""
    segments = Segments((DAYS[10], DAYS[40]), (DAYS[43], DAYS[60]), (DAYS[63], DAYS[last]))
    return LiveDays.of(DAYS[:known], segments, ahead=ahead, horizon=horizon)


def test_the_live_model_learns_through_the_last_day_whose_label_is_known():
    """Days of valid, of test and between them too; the rest of the days are live."""
    assert live() == LiveDays((DAYS[10], DAYS[97]), (DAYS[98], DAYS[99]))


def test_the_universes_last_day_counts_and_not_the_calendars():
    """An index may go on alone."""
    assert live(known=80, last=79) == LiveDays((DAYS[10], DAYS[77]), (DAYS[78], DAYS[79]))


@pytest.mark.parametrize(
    ("ahead", "horizon", "first"),
    [(2, 1, 98), (6, 5, 98), (5, 5, 99), (1, 1, 99), (0, 1, 99)],
)
def test_no_live_day_has_an_outcome_of_which_the_live_model_has_seen_a_part(
    ahead: int, horizon: int, first: int
):
    """A label of several days begins before its last day: all of it comes after what was learnt."""
    found = live(ahead=ahead, horizon=horizon)
    assert found is not None
    assert found.days == (DAYS[first], DAYS[99])
    learnt = {DAYS.index(found.train[1]) + ahead - back for back in range(horizon)}
    outcome = {first + ahead - back for back in range(horizon)}
    assert ahead == 0 or max(learnt) < min(outcome)


def test_nothing_is_refitted_where_every_outcome_is_known():
    """Of a look at the past, and of fixed days."""
    assert live(last=97) is None
    assert live(last=98) == LiveDays((DAYS[10], DAYS[97]), (DAYS[98], DAYS[98]))
    assert live(ahead=50, horizon=1, known=100) is None, "the last known label is one of valid"
