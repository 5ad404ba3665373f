"""From which day on each part is computed, and the saved state of its running sums.

When a dataset gains a day, the values of earlier days stay valid. `settled` is an instrument's last day whose
values are final, or -1 where nothing is known and all days are computed. If others look at a part `lag` days
back, its values are needed from `lag` days before the first new day on. An operator that reads only its
window gets the days of its window before that. An operator that depends on more (sums, deviations,
correlations, regressions) continues from its state on the last day before. So the bits equal those of a
computation of all days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from qlib_shadow_runner.engine.expressions import ORDERED, REMEMBERING, Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from qlib_shadow_runner.engine.layout import Layout, Whole

    Floats = npt.NDArray[np.float64]

WIDTH: Final = 20
"""Numbers saved for each part and instrument: ten for a correlation, and five for each side's deviation."""
NOTHING: Final = -1


class Unsettled(Exception):  # noqa: N818 - it is a finding, and answered by a computation from nothing
    """A part that depends on earlier days whose state is not saved; all days must be computed."""


class Track(NamedTuple):
    """For each instrument: days already in the saved state, days after which to save it, and the state."""

    skip: Whole
    save: Whole
    kept: Floats

    def from_number(self, first: int) -> Track:
        """Return the track of another running sum of the same part, whose numbers begin at `first`."""
        return self._replace(kept=self.kept[:, first:])


class RunningMemory:
    """The state of some expressions' running sums: at `past` before they are computed, then at `now`."""

    def __init__(self, parts: Iterable[ExpressionPart], past: Whole, now: Whole, ahead: int) -> None:
        self.lags: dict[ExpressionPart, int] = {}
        for part in parts:
            self._lag(part, ahead)
        self._past, self._now = past, now
        remembering = [part for part in self.lags if part.node.operator in REMEMBERING]
        self._numbers = {part: number for number, part in enumerate(remembering)}
        self.kept: Floats = np.zeros((len(remembering), len(past), WIDTH))

    @property
    def settled(self) -> Whole:
        """Return the last day from which each instrument can continue; -1 if it cannot."""
        settled = self._now.copy()
        for part, number in self._numbers.items():
            if part.node.operator in ORDERED:
                settled[self.kept[number, :, 0] != 0] = NOTHING
        return settled

    def _lag(self, part: ExpressionPart, lag: int) -> None:
        if self.lags.get(part, NOTHING) < lag:
            self.lags[part] = lag
            for inner in part.parts:
                self._lag(inner, lag + part.node.reach)

    def since(self, lag: int) -> Whole:
        """Return each instrument's first day to compute; the very first where nothing is settled."""
        return np.where(self._past == NOTHING, 0, self._past + 1 - lag)

    def track(self, part: ExpressionPart, layout: Layout) -> Track:
        """Return what is saved of a part, for the layout on which it is computed."""
        lag = self.lags[part]
        skip = np.where(self._past == NOTHING, 0, self._past + 1 - lag - layout.first)
        save = self._now + 1 - lag - layout.first
        slab = self.kept[self._numbers[part]]
        return Track(np.clip(skip, 0, layout.counts), np.clip(save, 0, layout.counts), slab)


class DaySpan(NamedTuple):
    """The days of the calendar that Qlib loads, both included."""

    first: int
    last: int

    @classmethod
    def of(cls, node: Node, first: int, last: int) -> DaySpan:
        """Return the days that Qlib loads to compute an expression from the first to the last day."""
        before, after = node.extent
        return cls(max(0, first - before), last + after)


class ExpressionPart(NamedTuple):
    """An expression that is computed from a certain day on."""

    node: Node
    span: DaySpan

    @property
    def parts(self) -> tuple[ExpressionPart, ...]:
        """Return the parts of its operands."""
        return tuple(ExpressionPart(node, self.span) for node in self.node.arrays)
