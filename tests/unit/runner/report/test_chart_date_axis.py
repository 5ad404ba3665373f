"""A date axis of any span has a few labelled days, each with its year."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("first", [18993, 19000, 19120])
@pytest.mark.parametrize("days", [4, 9, 31, 45, 62, 190, 365, 540, 756, 1096, 1400, 2200, 4000, 9000])
def test_few_days_are_labelled(first: int, days: int):
    """All of them in the span, in order, no two alike, and never more than a phone has room for."""
    from qlib_shadow_runner.report.charts.canvas import TICKS, ticks_between  # noqa: PLC0415 - takes a second

    found, form = ticks_between(first - 0.3, first + days + 0.3)
    numbers = found.astype("int64").tolist()
    names = [f"{day:{form}}" for day in found.tolist()]
    assert first <= numbers[0] < numbers[-1] <= first + days
    assert numbers == sorted(numbers)
    assert len(set(names)) == len(names) <= TICKS
    assert all(f"{day:%Y}"[-2:] in name for day, name in zip(found.tolist(), names, strict=True))


def test_span_of_less_than_a_day_has_no_labels():
    """A run of one day also has charts."""
    from qlib_shadow_runner.report.charts.canvas import ticks_between  # noqa: PLC0415

    assert len(ticks_between(19000.2, 19000.8)[0]) == 0
    assert len(ticks_between(19000.0, 19000.0)[0]) == 1
