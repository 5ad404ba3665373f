"""A sample of `make calibrate`: a halved IC rings in time, a stable one rarely, and few days tell nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.bench.alarms.calibration import limits_of
from tests.bench.alarms.daily_ic import BEFORE_CHANGE, NIGHTS, delays, false_alarms, streams
from tests.bench.alarms.tables import rings_together, tables

from qlib_shadow_runner.drift.decay import DecayState, Promise, judge
from qlib_shadow_runner.drift.thresholds import FILE, calibrated

MANY = 400
PROMISE = Promise(ic=0.06, icir=0.6, days=750, horizon=1)
THRESHOLDS = calibrated()


@pytest.mark.parametrize(("horizon", "strength"), [(1, 0.6), (5, 0.2)])
def test_stable_streams_ring_less_than_once_in_five_years(horizon: int, strength: float):
    """Within three standard errors of the mean over so many streams."""
    generator = np.random.default_rng((9, horizon))
    stable = streams(generator, strength, many=MANY, promised=720, live=NIGHTS, horizon=horizon)
    rings = false_alarms(stable, limits_of(THRESHOLDS, horizon, 720, stable.strength), THRESHOLDS.weakest)
    assert rings.mean() <= 0.8 + 3 * rings.std() / math.sqrt(MANY)
    assert rings.sum() > 0


def test_a_halved_ic_is_called_within_sixty_days_in_the_median():
    """At a daily ICIR of 0.6, the days until the outcomes are known included."""
    generator = np.random.default_rng(9)
    live = BEFORE_CHANGE + 400
    halved = streams(generator, 0.6, many=MANY, promised=720, live=live).after_losing(0.3, BEFORE_CHANGE)
    limits = limits_of(THRESHOLDS, 1, 720, halved.strength)
    late = np.sort(delays(halved, limits, THRESHOLDS.weakest, BEFORE_CHANGE))
    lower = late[
        int(len(late) / 2 - 1.5 * math.sqrt(len(late)))
    ]  # three standard errors of the median's rank
    assert lower <= 60
    assert late[len(late) // 4] > 10


def live(days: int, mean: float, seed: int = 4) -> list[float]:
    """Return live ICs with the deviation that was promised."""
    deviation = PROMISE.ic / PROMISE.icir
    noise = np.random.default_rng(seed).normal(size=days)
    return list(mean + deviation * (noise - noise.mean()) / noise.std())


def test_a_planted_decay_rings_and_stays():
    """A model whose relation is halved from a day on; what is good luck afterwards changes nothing."""
    stable, halved = live(200, PROMISE.ic), live(200, PROMISE.ic / 2)
    assert judge(stable, PROMISE, THRESHOLDS).state is DecayState.HOLDS
    found = judge([*stable, *halved], PROMISE, THRESHOLDS)
    assert found.state is DecayState.DECAYED
    assert found.statistic is not None
    assert found.limit is not None
    assert found.statistic > found.limit
    assert (
        judge([*stable, *halved, *live(200, 2 * PROMISE.ic)], PROMISE, THRESHOLDS).state is DecayState.DECAYED
    )


def test_one_crash_is_no_decay():
    """A single day counts as much as a deviation, however bad it is."""
    assert judge([*live(100, PROMISE.ic), -1.0], PROMISE, THRESHOLDS).state is DecayState.HOLDS


@pytest.mark.parametrize(
    ("promise", "days", "why"),
    [
        (PROMISE, 19, "19 of 20 days are judged"),
        (PROMISE, 0, "0 of 20 days are judged"),
        (None, 300, "no promise is recorded"),
        (replace(PROMISE, days=249), 300, "249 evaluated days promise nothing; 250 are needed"),
        (replace(PROMISE, icir=0.05), 300, "an ICIR of 0.05 is too weak; 0.10 is needed"),
        (replace(PROMISE, ic=-0.06, icir=-0.6), 300, "too weak"),
        (replace(PROMISE, horizon=10), 300, "no live IC is judged over the 10 days of the label"),
        (replace(PROMISE, horizon=20, icir=0.4), 300, "an ICIR of 0.09 is too weak"),
    ],
)
def test_nothing_is_claimed_of_what_is_not_calibrated(promise: Promise | None, days: int, why: str):
    """Neither that a model holds nor that it has decayed, however bad its days are."""
    found = judge([-0.5] * days, promise, THRESHOLDS)
    assert found.state is DecayState.UNKNOWN
    assert why in (found.why or "")
    assert found.days == days


def test_the_page_shows_the_figures_of_the_limits_in_the_package():
    """And all alarms together ring less than once in five years."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    assert tables(document) in (Path(__file__).parents[4] / "docs/drift.md").read_text(encoding="utf-8")
    assert rings_together(document) < 1
