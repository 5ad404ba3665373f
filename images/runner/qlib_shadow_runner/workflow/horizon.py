"""The horizon of a label: over how many days its value reaches, which is how many labels in a row overlap.

The return from tomorrow's close to the day after looks two days ahead, but reaches over one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.engine.expressions import SHIFTS, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qlib_shadow_runner.engine.expressions import Node


def horizon_of(labels: Iterable[str]) -> int:
    """Return the horizon of the label that reaches farthest.

    What a label reads of today and before is known when the scores are, so it does not count. Between one
    day's close and another's lie as many returns as days; a second field may add one, as from open to close.
    """
    return max((_horizon(read(label)) for label in labels), default=1)


def _horizon(label: Node) -> int:
    first, last = _span(label)
    return max(1, last - max(first, 0) + (len(label.fields) > 1))


def _span(node: Node) -> tuple[int, int]:
    """Return the first and the last day that a value depends on, counted from its own day."""
    spans = [_span(operand) for operand in node.operands if operand.fields]
    if not spans:
        return 0, 0
    first, last = min(one for one, _ in spans), max(one for _, one in spans)
    if node.operator == "Ref":
        return first - node.days, last - node.days
    if node.operator in SHIFTS:  # the difference to another day reads both
        return first - max(node.days, 0), last - min(node.days, 0)
    return first - max(node.days - 1, 0), last
