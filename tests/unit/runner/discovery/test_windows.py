"""Segments that are counted back from the last day of the universe, and segments with open ends."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.periods import Period, months_before
from qlib_shadow_runner.contract.spec.workflow import Segments, Window
from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.discovery.segments import plan_segments
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

LAST = date(2025, 11, 28)
YEARS_15 = 3780


def weekdays(count: int, last: date = LAST) -> list[date]:
    """Return so many weekdays, the last one first in time order of a calendar."""
    every = (last - timedelta(days=number) for number in range(count * 2))
    return sorted(day for day in every if day.weekday() < 5)[-count:]


def window(**periods: str) -> Window:
    """Return a window as a manifest gives it."""
    found = parse_spec({"workflow": {"window": periods}}).workflow.window
    assert found is not None
    return found


def test_a_window_is_counted_back_from_the_last_day():
    """Each segment begins the day after its period, and as many days lie between as the label looks ahead."""
    days = weekdays(YEARS_15)
    plan = plan_segments(days, window(train="8y", valid="1y", test="3y"), "here")
    places = [days.index(day) for span in plan.segments.values().values() for day in span]
    assert plan.segments.test == (date(2022, 11, 29), LAST)
    assert plan.segments.valid == (date(2021, 11, 25), date(2022, 11, 24))
    assert plan.segments.train == (date(2013, 11, 25), date(2021, 11, 22))
    assert places[2] - places[1] == places[4] - places[3] == 3
    assert plan.chosen_by == "window"
    assert plan.rule == "window: train 8y, valid 1y, test 3y, counted back from 2025-11-28"


def test_back_ends_the_window_earlier():
    """As a walk through the past does; months end on the same day of a month."""
    plan = plan_segments(weekdays(YEARS_15), window(train="8y", back="6m"), "here")
    assert plan.segments.test == (date(2022, 5, 30), date(2025, 5, 28))
    assert plan.backtest == plan.segments.test
    assert plan.rule.endswith("counted back from 6m before 2025-11-28")


def test_days_of_a_window_are_trading_days():
    """Not those of the week."""
    plan = plan_segments(weekdays(YEARS_15), window(train="500d", valid="60d", test="250d"), "here")
    assert plan.counts == {"train": 500, "valid": 60, "test": 250}


def test_long_data_has_a_window_by_default():
    """Tonight's model has learnt from last year's days, and three years are judged."""
    days = weekdays(YEARS_15)
    plan = plan_segments(days, None, "here")
    assert plan.segments == plan_segments(days, Window(), "here").segments
    assert plan.segments.train[0] == days[60]
    assert plan.counts["test"] == 784
    assert plan.chosen_by == "auto"
    assert plan.rule == ("window: train everything before, valid 1y, test 3y, counted back from 2025-11-28")


def test_short_data_is_divided_by_default_and_says_so():
    """The day before it is long enough."""
    first = months_before(LAST, 8 * 12)
    days = [day for day in weekdays(YEARS_15) if day > first]
    short, long = plan_segments(days, None, "here"), plan_segments([first, *days], None, "here")
    assert short.rule == f"60%, 15% and the rest of {len(days)} days, which are fewer than eight years"
    assert short.counts["test"] < 600 < long.counts["test"]
    assert long.rule.startswith("window: train everything before")


@given(
    years=some.tuples(some.integers(1, 4), some.integers(1, 2), some.integers(1, 3)),
    back=some.integers(0, 250),
    ahead=some.integers(0, 40),
    usable=some.integers(9 * 262, 4000),
)
def test_windows_never_overlap_and_fit_their_periods(
    years: tuple[int, int, int], back: int, ahead: int, usable: int
):
    """For any reach of label and features."""
    days = weekdays(usable + back + 2 * ahead + 10)
    asked = Window(*(Period(number, "y") for number in years))
    segments = plan_segments(days, asked, "here", Reach(back, ahead)).segments.values()
    places = [days.index(day) for span in segments.values() for day in span]
    assert places == sorted(places)
    assert places[2] - places[1] == places[4] - places[3] == ahead + 1
    assert places[0] >= back
    for number, (first, last) in zip(years, segments.values(), strict=True):
        assert (
            months_before(last, 12 * number) < first <= months_before(last, 12 * number) + timedelta(days=3)
        )


@pytest.mark.parametrize(
    ("asked", "count", "sentence"),
    [
        ({"train": "20y"}, YEARS_15, "asks for train: 20y, counted back from 2021-11-22, and features need"),
        ({"train": "9999y"}, YEARS_15, "asks for train: 9999y"),
        ({"test": "9y"}, 1500, "asks for test: 9y, counted back from 2025-11-28, but the universe begins on"),
        ({"test": "1499d"}, 1500, "asks for valid: 1y, counted back from a day before them"),
        ({"valid": "1400d", "test": "90d"}, 1500, "asks for train: everything before, counted"),
        ({"test": "1y", "back": "30y"}, YEARS_15, "asks for test: 1y, counted back from a day before them"),
    ],
)  # fmt: skip
def test_a_window_longer_than_the_data_is_refused(asked: dict[str, str], count: int, sentence: str):
    """With the part that does not fit, and what to do."""
    with pytest.raises(StageError) as caught:
        plan_segments(weekdays(count), window(**asked), "here")
    assert caught.value.reason is Reason.DATASET_TOO_SHORT
    assert caught.value.message.startswith(f"spec.workflow.window {sentence}")
    without = ", leave its train out (all before valid)," if "train" in asked else ""
    remedy = f"Shorten the window{without} or use a dataset with more history."
    assert caught.value.message.endswith(remedy)


def test_a_window_too_short_to_learn_from_is_refused():
    """As segments are."""
    with pytest.raises(StageError) as caught:
        plan_segments(weekdays(YEARS_15), window(train="3m"), "here")
    assert caught.value.reason is Reason.SEGMENTS_INVALID
    assert caught.value.message == (
        "spec.workflow.window: train has 66 trading days, fewer than the 120 it needs (train 66, valid 261, "
        "test 784). Lengthen it, or leave window to auto."
    )


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"train": "8w"}, "spec.workflow.window.train must be trading days, months or years such as 250d"),
        ({"train": 8}, "spec.workflow.window.train must be trading days"),
        ({"test": "0y"}, "spec.workflow.window.test must be"),
        ({"test": "-1y"}, "spec.workflow.window.test must be"),
        ({"test": "1.5y"}, "spec.workflow.window.test must be"),
        ({"back": "10000d"}, "spec.workflow.window.back must be"),
        ({"trian": "8y"}, 'spec.workflow.window has no field "trian"'),
        ([], "spec.workflow.window must be a mapping of fields"),
    ],
)  # fmt: skip
def test_wrong_forms_of_a_window_are_refused(asked: Any, fault: str):
    """One sentence each."""
    with pytest.raises(StageError) as caught:
        parse_spec({"workflow": {"window": asked}})
    assert caught.value.message.startswith(fault)


def test_a_window_and_segments_exclude_each_other():
    """Both decide the days."""
    spans = {name: ["2020-01-01", None] for name in ("train", "valid", "test")}
    with pytest.raises(StageError, match=r"takes segments \(fixed days\) or window .* not both; remove one"):
        parse_spec({"workflow": {"window": {}, "segments": spans | {"train": [None, "2019-12-30"]}}})


def open_segments(**spans: list[str | None]) -> Segments:
    """Return segments as a manifest gives them."""
    found = parse_spec({"workflow": {"segments": spans}}).workflow.segments
    assert found is not None
    return found


def test_open_ends_follow_the_data_and_the_neighbours():
    """Test ends on the last day, train begins where features are whole, and valid fills what lies between."""
    days = weekdays(1500)
    asked = open_segments(train=[None, "2023-06-30"], valid=[None, None], test=["2025-01-02", None])
    plan = plan_segments(days, asked, "here")
    train, valid, test = plan.segments.values().values()
    assert (train[0], train[1]) == (days[60], date(2023, 6, 30))
    assert test == (date(2025, 1, 2), LAST)
    assert days.index(valid[0]) - days.index(train[1]) == 3 == days.index(test[0]) - days.index(valid[1])
    assert (plan.chosen_by, plan.rule, plan.caveats) == ("spec", "the days of the manifest", ())


@pytest.mark.parametrize(
    "spans",
    [
        {"train": [None, None], "valid": [None, "2024-01-02"], "test": ["2025-01-02", None]},
        {"train": [None, "2023-01-02"], "valid": ["2023-02-01", None], "test": [None, None]},
    ],
)
def test_two_neighbouring_open_ends_are_refused(spans: dict[str, list[str | None]]):
    """Nothing says where one ends and the other begins."""
    with pytest.raises(StageError, match="of two neighbouring ends at most one is open"):
        open_segments(**spans)


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        (
            {"train": [None, "2023-06-30"], "valid": ["2023-07-10", None], "test": ["2023-07-11", None]},
            "valid [2023-07-10, 2023-07-06] holds no trading day",
        ),
        (
            {"train": ["2021-01-04", None], "valid": ["2020-06-01", "2022-01-03"], "test": [None, None]},
            "train [2021-01-04, 2020-05-27] holds no trading day",
        ),
        (
            {"train": [None, "2023-06-30"], "valid": ["2023-07-10", None], "test": ["2026-01-02", None]},
            "test [2026-01-02, 2025-11-28] holds no trading day",
        ),
    ],
)  # fmt: skip
def test_open_ends_without_room_are_refused(spans: dict[str, list[str | None]], sentence: str):
    """With the day that the open end would have."""
    with pytest.raises(StageError) as caught:
        plan_segments(weekdays(1500), open_segments(**spans), "here")
    assert caught.value.reason is Reason.SEGMENTS_INVALID
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        (date(2025, 3, 31), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 12, date(2023, 2, 28)),
        (date(2025, 1, 15), 1, date(2024, 12, 15)),
        (date(2025, 1, 15), 12 * 2024, date(1, 1, 15)),
        (date(2025, 1, 15), 12 * 9999, date.min),
    ],
)
def test_months_before_a_day(day: date, months: int, before: date):
    """The same day of the month, or the month's last one."""
    assert months_before(day, months) == before
