"""The day on which features begin: the handler's first day, which a kept model's run takes from its trainer.

Running sums round from their first day on. A window that slides would begin them on another day each night,
and the same model would be given other last bits of the same days.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.bounded_yaml import compose
from qlib_shadow_runner.workflow.parsed import Workflow, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH: Final = ("task", "dataset", "kwargs", "handler", "kwargs")
FIRST_DAY: Final = "start_time"


def anchor_of(workflow: Workflow, calendar: Sequence[date]) -> date:
    """Return the first trading day of a workflow's features."""
    asked = date.fromisoformat(str(workflow.handler["kwargs"][FIRST_DAY]))
    return calendar[min(bisect_left(calendar, asked), len(calendar) - 1)]


def days_before(anchor: date, calendar: Sequence[date], look_back: int) -> int:
    """Return how many days before the anchor the features of its day read."""
    return min(bisect_left(calendar, anchor), look_back)


def anchored(workflow: Workflow, anchor: date) -> Workflow | None:
    """Return a workflow whose features begin on another day; None where that day stands for others too."""
    document: dict[str, Any] = copy.deepcopy(dict(workflow.document))
    arguments: Any = document
    for name in PATH:
        arguments = arguments[name]
    arguments[FIRST_DAY] = anchor
    place = _place(workflow.text)
    if place is None:
        return None
    try:
        changed = parse(f"{workflow.text[: place[0]]}{anchor}{workflow.text[place[1] :]}")
    except StageError:  # another place of the text refers to it
        return None
    return changed if changed.document == document else None


def _place(text: str) -> tuple[int, int] | None:
    """Return where the first day is written, or None where it is merged in from another mapping."""
    node = compose(text)
    for name in (*PATH, FIRST_DAY):
        pairs = node.value if isinstance(node.value, list) else []
        found = [value for key, value in pairs if key.value == name]
        if not found:
            return None
        node = found[-1]
    return node.start_mark.index, node.end_mark.index
