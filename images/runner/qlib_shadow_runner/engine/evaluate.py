"""One expression over all instruments: operator by operator, each common part computed once.

Qlib loads each feature from as many days before the first as the expression looks back, and its operators
begin there. So a part belongs to a `DaySpan`: the same part in an expression that looks back further begins
on an earlier day, and has other last bits.
"""

from __future__ import annotations

import operator
import threading
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qlib_shadow_runner.engine import windows
from qlib_shadow_runner.engine.expressions import REGRESSIONS, REMEMBERING, Node, ValueKind
from qlib_shadow_runner.engine.layout import fit
from qlib_shadow_runner.engine.memory import ExpressionPart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from qlib_shadow_runner.engine.bins import Bins
    from qlib_shadow_runner.engine.layout import Layout, Layouts
    from qlib_shadow_runner.engine.memory import RunningMemory, Track

    Values = npt.NDArray[Any]

ALIGNING: Final = frozenset({"Add", "Sub", "Mul", "Div", "Power", "Greater", "Less"})
"""Operators for which pandas aligns two Series with different days; for all others pandas or Qlib raises."""
PAIRS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
    "Power": operator.pow,
    "Greater": np.maximum,
    "Less": np.minimum,
    "Gt": operator.gt,
    "Ge": operator.ge,
    "Lt": operator.lt,
    "Le": operator.le,
    "Eq": operator.eq,
    "Ne": operator.ne,
    "And": operator.and_,
    "Or": operator.or_,
}
SINGLES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Abs": np.abs,
    "Log": np.log,
    "Sign": lambda values: np.sign(values.astype(np.float32)),
    "Not": operator.invert,
}


class Shapes:
    """Determines the days of each part without computing it."""

    def __init__(self, bins: Bins, layouts: Layouts) -> None:
        self._bins, self._layouts = bins, layouts
        self._known: dict[ExpressionPart, Layout] = {}
        self.irregular = bins.irregular
        """Instruments whose fields have gaps between their days; Qlib handles them."""

    def of(self, part: ExpressionPart) -> Layout:
        """Return the days of a part."""
        if part not in self._known:
            self._known[part] = self._find(part)
        return self._known[part]

    def _find(self, part: ExpressionPart) -> Layout:
        if part.node.operator == "Field":
            return self._bins.layout(part.node.name, *part.span)
        found, *others = (self.of(inner) for inner in part.parts)
        for other in others:
            if other is not found and part.node.operator not in ALIGNING:
                unlike = (found.first != other.first) | (found.end != other.end)
                self.irregular.update(np.flatnonzero(unlike).tolist())
            found, apart = self._layouts.union(found, other)
            self.irregular.update(apart.tolist())
        return found


class Evaluator:
    """Computes parts, in any number of threads, and frees each after its last use."""

    def __init__(self, bins: Bins, start_days: StartDays, wanted: Sequence[ExpressionPart]) -> None:
        self._bins, self._start_days = bins, start_days
        self._uses: Counter[ExpressionPart] = Counter()
        for part in wanted:
            self._count(part)
        self._done: dict[ExpressionPart, Future[Values]] = {}
        self._lock = threading.Lock()

    def _count(self, part: ExpressionPart) -> None:
        self._uses[part] += 1
        if self._uses[part] == 1:
            for inner in part.parts:
                self._count(inner)

    def take(self, part: ExpressionPart) -> Values:
        """Return a part's values, computed here or by the thread that began first; once for each use."""
        with self._lock:
            ours = part not in self._done
            future = self._done.setdefault(part, Future())
            self._uses[part] -= 1
            if self._uses[part] == 0:
                del self._done[part]
        if ours:
            self._compute(part, future)
        return future.result()

    def _compute(self, part: ExpressionPart, future: Future[Values]) -> None:
        try:
            with np.errstate(all="ignore"):
                future.set_result(self._values(part, self._start_days.needed_by_operator(part)))
        except BaseException as error:
            future.set_exception(error)
            raise

    def _values(self, part: ExpressionPart, layout: Layout) -> Values:
        node = part.node
        if node.operator == "Field":
            return self._bins.values(node.name, layout)
        sides = [self._side(part, operand, layout) for operand in node.operands]
        track = self._start_days.memory.track(part, layout) if node.operator in REMEMBERING else None
        return fit(_apply(node, sides, layout, track), layout, self._start_days.of(part))

    def _side(self, part: ExpressionPart, operand: Node, layout: Layout) -> Any:
        if operand.kind is ValueKind.NUMBER:
            return operand.number
        inner = ExpressionPart(operand, part.span)
        return fit(self.take(inner), self._start_days.of(inner), layout)


def _apply(  # noqa: PLR0911 - a table
    node: Node, sides: Sequence[Values], layout: Layout, track: Track | None
) -> Values:
    if node.operator in PAIRS:
        pair: Values = PAIRS[node.operator](*sides)
        return pair
    if node.operator in SINGLES:
        single: Values = SINGLES[node.operator](*sides)
        return single
    if node.operator == "If":
        chosen: Values = np.where(*sides)
        return chosen
    if node.operator == "Ref":
        return shift(sides[0], layout, node.days)
    if node.operator == "Delta":
        changed: Values = sides[0] - shift(sides[0], layout, node.days)
        return changed
    if not layout.size:
        return np.empty(0)
    return _remembered(node, sides, layout, track) if track else _in_window(node, sides[0], layout)


def _in_window(node: Node, values: Values, layout: Layout) -> Values:
    name, days = node.operator, node.days
    if name in ("IdxMax", "IdxMin"):
        return windows.index_of_extreme(values, layout, days, largest=name == "IdxMax")
    if name == "Rank":
        return windows.rank(values, layout, days)
    return windows.extreme(name, values, layout, days)


def _remembered(node: Node, sides: Sequence[Values], layout: Layout, track: Track) -> Values:
    name, values, days = node.operator, sides[0], node.days
    if name in REGRESSIONS:
        return windows.regress(name, values, layout, days, track)
    if name == "Quantile":
        return windows.quantile(values, layout, days, node.number, track)
    if name == "Med":
        return windows.median(values, layout, days, track)
    if name in ("Corr", "Cov"):
        return windows.correlate(name, values, sides[1], layout, days, track)
    return windows.roll(name, values, layout, days, track)


def shift(values: Values, layout: Layout, days: int) -> Values:
    """Return for each day the value `days` before it, within its instrument."""
    shifted = np.full(values.size, np.nan, values.dtype)
    if 0 < days < values.size:
        shifted[days:] = values[:-days]
        shifted[layout.positions - days < layout.beginnings] = np.nan
    elif 0 < -days < values.size:
        shifted[:days] = values[-days:]
        shifted[layout.positions - days >= layout.endings] = np.nan
    return shifted


class StartDays:
    """The days on which each part is computed, and the days on which its values are valid."""

    def __init__(self, shapes: Shapes, layouts: Layouts, memory: RunningMemory) -> None:
        self._shapes, self._layouts, self.memory = shapes, layouts, memory

    def of(self, part: ExpressionPart) -> Layout:
        """Return the days on which a part's values are valid."""
        return self._from(part, self.memory.lags[part])

    def needed_by_operator(self, part: ExpressionPart) -> Layout:
        """Return the days that an operator needs as input for them."""
        return self._from(part, self.memory.lags[part] + part.node.reach)

    def _from(self, part: ExpressionPart, lag: int) -> Layout:
        return self._layouts.since(self._shapes.of(part), self.memory.since(lag))
