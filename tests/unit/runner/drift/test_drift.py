"""Features, scores and turnover that shift are found, and those of a market with regimes are not."""

from __future__ import annotations

import functools
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.bench.alarms.calibration import one_market
from tests.bench.alarms.episodes import alarms
from tests.bench.alarms.features import INSTRUMENTS, market
from tests.bench.alarms.turnover import daily_turnover, nightly_turnover

from qlib_shadow_runner.drift.document import Row, drift_document
from qlib_shadow_runner.drift.measure import drift_of_scores, drift_of_turnover, starts_of, turnover
from qlib_shadow_runner.drift.summary import Summary, SummaryError, drift_of_features, summarize
from qlib_shadow_runner.drift.thresholds import calibrated

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [f"F{number}" for number in range(12)]
TRAIN, NEW = 1000, 60
THRESHOLDS = calibrated()


@functools.cache
def values() -> np.ndarray:
    """Return the features of a market by feature and row, sorted by day."""
    found = market(np.random.default_rng(5), len(NAMES), TRAIN + NEW)
    return found.reshape(len(NAMES), -1)


def days(many: int) -> np.ndarray:
    """Return the number of each row's day."""
    return np.repeat(np.arange(many), INSTRUMENTS)


@functools.cache
def summary() -> Summary:
    """Return the summary of the days of train."""
    found = summarize(NAMES, lambda place: values()[place, : TRAIN * INSTRUMENTS], days(TRAIN))
    assert found is not None
    return found


def drift(new: np.ndarray) -> dict[str, Any]:
    """Return the drift of new rows, as the metadata of a run have it."""
    measured = drift_of_features(summary(), NAMES, lambda place: new[place], days(NEW))
    rows = [Row("features", name, value) for name, value in measured.items()]
    known = [Row("scores", "all", 0.5), Row("turnover", "all", 0.5)]
    length = [Row("days", "train", summary().days), Row("days", "evaluated", 730)]
    return drift_document([*rows, *known, *length], THRESHOLDS)


def new_rows() -> np.ndarray:
    """Return the rows after train."""
    return values()[:, TRAIN * INSTRUMENTS :].copy()


def test_new_days_of_the_same_market_do_not_drift():
    """Whose regimes the days of train had as well."""
    found = drift(new_rows())
    assert found["state"] == "none"
    assert 0 < found["features"] < found["limits"]["features"]


@pytest.mark.parametrize(
    "change",
    [lambda column: column + 1.5 * column.std(), lambda column: 3 * column, lambda column: column * np.nan],
    ids=["moved", "spread", "missing"],
)
def test_a_planted_shift_of_one_feature_rings(change: Callable[[np.ndarray], np.ndarray]):
    """And is named first."""
    new = new_rows()
    new[9] = change(new[9])
    found = drift(new)
    assert found["state"] == "drifting"
    assert found["worst"][0]["feature"] == "F9"
    assert found["worst"][1]["value"] < found["limits"]["features"]


def test_scores_and_turnover_are_held_against_the_evaluated_days():
    """Scores that spread more, and best instruments that change more."""
    generator, many, names = np.random.default_rng(6), 300, 50
    starts = starts_of(np.repeat(np.arange(many), names))
    scores = np.cumsum(generator.normal(size=(many, names)), axis=0)
    scores = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    instruments = np.tile(np.arange(names), many)
    stable = (
        drift_of_scores(scores.ravel(), starts),
        drift_of_turnover(turnover(scores.ravel(), instruments, starts)),
    )
    assert max(one or 9 for one in stable) < 1.7
    scores[-20:] = 2 * generator.normal(size=(20, names))
    changed = (
        drift_of_scores(scores.ravel(), starts),
        drift_of_turnover(turnover(scores.ravel(), instruments, starts)),
    )
    assert min(one or 0 for one in changed) > 2.5


def test_turnover_is_the_share_of_the_best_that_is_new():
    """Of 20 instruments the best two."""
    scores = np.zeros((3, 20))
    scores[0, [3, 4]] = scores[1, [4, 5]] = scores[2, [4, 5]] = 1
    starts = starts_of(np.repeat(np.arange(3), 20))
    assert turnover(scores.ravel(), np.tile(np.arange(20), 3), starts).tolist() == [0.5, 0.0]


def test_few_days_are_unknown_and_what_rings_rings_all_the_same():
    """A limit for fewer days of past than were simulated would be a guess."""
    rows = [Row("features", "F0", 9.0), Row("scores", "all", 1.0), Row("turnover", "all", None)]
    short = [Row("days", "train", 499.0), Row("days", "evaluated", 249.0)]
    assert drift_document([*rows, *short], THRESHOLDS)["state"] == "unknown"
    long = [Row("days", "train", 500.0), Row("days", "evaluated", 249.0)]
    assert drift_document([*rows, *long], THRESHOLDS)["state"] == "drifting"
    assert drift_document([], THRESHOLDS)["state"] == "unknown"


def test_turnover_of_a_stable_market_rings_less_than_once_in_five_years():
    """A sample of `make calibrate`."""
    daily = [daily_turnover(np.random.default_rng((8, number)), 720 + 1260) for number in range(20)]
    nights = np.array([nightly_turnover(one, 720, every=5) for one in daily])
    limit = THRESHOLDS.drift_limit("turnover", 720)
    assert limit is not None
    assert alarms(nights, limit).mean() < 0.3


def test_a_summary_survives_its_document():
    """With the same drift to the last bit."""
    again = Summary.parse(json.loads(json.dumps(summary().document())))
    assert again == summary()


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a summary's document that another run has changed."""
    document = deepcopy(summary().document())
    document["features"] = deepcopy(document["features"][:3])
    change(document)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.clear(),
        lambda one: one.update(format=2),
        lambda one: one.update(features=[]),
        lambda one: one.update(features={}),
        lambda one: one.update(features=[None]),
        lambda one: one.update(days=-1),
        lambda one: one.update(days=True),
        lambda one: one["features"][1].update(name=""),
        lambda one: one["features"][1].update(name="F0"),
        lambda one: one["features"][1].update(edges=[1.0, 1.0]),
        lambda one: one["features"][1].update(edges=[float("nan")]),
        lambda one: one["features"][1].update(edges=list(range(1000))),
        lambda one: one["features"][1].update(edges=[10**400]),
        lambda one: one["features"][1].update(counts=[1]),
        lambda one: one["features"][1]["counts"].__setitem__(0, 1 << 70),
        lambda one: one["features"][1]["counts"].__setitem__(0, 1.5),
        lambda one: one["features"][1].update(farthest=0),
        lambda one: one["features"][1].update(farthest="1"),
        lambda one: one["features"][1].pop("farthest"),
    ],
)
def test_a_summary_of_another_run_is_checked_before_it_is_used(change: Callable[[dict[str, Any]], object]):
    """One sentence says what is wrong."""
    with pytest.raises(SummaryError):
        Summary.parse(broken(change))


def test_markets_are_repeatable(monkeypatch: pytest.MonkeyPatch):
    """The limits in the package can be made again from their seed."""
    monkeypatch.setattr("tests.bench.alarms.calibration.FEATURES", 2)
    monkeypatch.setattr("tests.bench.alarms.calibration.SHIFTED", 1)
    one, same = one_market((1, 2)), one_market((1, 2))
    assert all(np.array_equal(one[key], same[key]) for key in one)
