"""Which runs belong together, and when one is late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.runner.nights.rows import FRIDAY, RECIPE, night, nights

from qlib_shadow_runner.nights.series import all_series, base_name

DAY = timedelta(days=1)


def test_runs_of_one_series_belong_together_whatever_their_recipe():
    """Of one namespace; a download is no night."""
    rows = [
        night(FRIDAY, recipe_sha256="6" * 64),
        night(FRIDAY - DAY),
        night(FRIDAY - 2 * DAY, namespace="other"),
        night(FRIDAY - 3 * DAY, status="downloaded"),
    ]
    found = all_series(rows)
    assert [(one.name, one.namespace, len(one.runs)) for one in found] == [
        ("us", "research", 2),
        ("us", "other", 1),
    ]


def test_runs_without_a_series_belong_together_by_their_recipe():
    """Also one that failed before it had a recipe, by the name of its manifest."""
    rows = [
        night(FRIDAY, series=None, recipe_sha256=None, status="failed"),
        night(FRIDAY - DAY, series=None),
        night(FRIDAY - 2 * DAY, series=None, recipe_sha256=None, name="world-3", status="failed"),
    ]
    found = all_series(rows)
    assert [(one.name, len(one.runs)) for one in found] == [("us 55555555", 2), ("world", 1)]
    assert [one.key for one in found] == [f"research/recipe/{RECIPE}", "research/name/world"]
    assert found[0].is_called("5555")
    assert not found[0].is_called("")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("us-2026-11-20", "us"),
        ("us-20261120-2330", "us"),
        ("demo-20261120t233000-3f9c", "demo"),
        ("us-sp500", "us-sp500"),
        ("sp500", "sp500"),
        ("7", "7"),
        (None, "run"),
        ("x" * 500, None),
    ],
)
def test_a_base_name_has_no_date_or_number(name: str | None, base: str | None):
    """And is bounded, since any program may have written it."""
    found = base_name(night(FRIDAY, name=name, run_id="run-2"))
    assert found == base or (base is None and len(found) <= 83)


def test_a_run_is_late_once_the_hour_of_the_last_one_has_come_again():
    """Not over the weekend, and not within two hours."""
    [series] = all_series(nights(8))
    assert series.usual_distance == 1
    monday = FRIDAY + 3 * DAY
    assert not series.is_late(FRIDAY + 2 * DAY)
    assert not series.is_late(monday + timedelta(hours=1))
    assert series.is_late(monday + timedelta(hours=3))


def test_a_weekly_series_is_late_after_a_week():
    """And one without a usual distance never."""
    [weekly] = all_series([night(FRIDAY - 7 * number * DAY) for number in range(6)])
    assert not weekly.is_late(FRIDAY + 6 * DAY)
    assert weekly.is_late(FRIDAY + 7.5 * DAY)
    [irregular] = all_series([night(FRIDAY - number**2 * DAY) for number in range(8)])
    assert not irregular.is_late(FRIDAY + 20 * DAY)
    [short] = all_series(nights(4))
    assert not short.is_late(FRIDAY + 20 * DAY)
    assert not all_series([night(FRIDAY, started_at=None)])[0].is_late(FRIDAY)
