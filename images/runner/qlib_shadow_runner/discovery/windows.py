"""Segments that are counted back from the last day on which the universe trades."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.periods import months_before
from qlib_shadow_runner.contract.spec.workflow import Segments, Window
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.contract.periods import Period
    from qlib_shadow_runner.discovery.reach import Reach

DEFAULT: Final = Window()
LONG: Final = 8 * 12
"""Months of data from which on segments are the default window: four years or more are left for train."""


def is_long(days: Sequence[date]) -> bool:
    """Say whether the days are enough for the default window."""
    return months_before(days[-1], LONG) >= days[0]


def count_back(days: Sequence[date], window: Window, reach: Reach) -> Segments:
    """Return the segments of a window, or refuse one that is longer than the data.

    Between segments lie as many days as the label looks ahead, and before train those that features need.
    """
    end = len(days) - 1 if window.back is None else _before(days, len(days) - 1, window.back)
    spans: dict[str, tuple[date, date]] = {}
    for name in ("test", "valid", "train"):
        period: Period | None = getattr(window, name)
        begin = reach.back if period is None else _before(days, end, period) + 1
        least = reach.back if name == "train" else 0
        if not least <= begin <= end:
            _too_long(days, name, period, end, reach)
        spans[name] = (days[begin], days[end])
        end = begin - reach.ahead - 1
    return Segments(train=spans["train"], valid=spans["valid"], test=spans["test"])


def _before(days: Sequence[date], end: int, period: Period) -> int:
    """Return the index of the last day before a period that ends with a day; it may be negative."""
    if end < 0:
        return -len(days)
    if period.months is None:
        return end - period.number
    start = months_before(days[end], period.months)
    return bisect_right(days, start) - 1 if start >= days[0] else -len(days)


def describe(window: Window, last: date) -> str:
    """Return the rule of a window for people."""
    train = "everything before" if window.train is None else str(window.train)
    ends = f"{last}" if window.back is None else f"{window.back} before {last}"
    return f"window: train {train}, valid {window.valid}, test {window.test}, counted back from {ends}"


def _too_long(days: Sequence[date], name: str, period: Period | None, end: int, reach: Reach) -> NoReturn:
    asked = "everything before" if period is None else str(period)
    back = f"{days[end]}" if end >= 0 else "a day before them"
    needed = f", and features need {reach.back} days before it" if name == "train" else ""
    without = ", leave its train out (all before valid)," if name == "train" and period else ""
    raise StageError(
        Reason.DATASET_TOO_SHORT,
        f"spec.workflow.window asks for {name}: {asked}, counted back from {back}{needed}, but the "
        f"universe begins on {days[0]}. Shorten the window{without} or use a dataset with more history.",
    )
