"""From which day on each part is computed, and what its running sums remember of the days before.

A dataset that gained a day leaves what was computed as it was. `settled` is the last day of an instrument
whose data were final then, or -1 where nothing is known: all its days are computed. Of a part that others
look at `lag` days back, the values are wanted from `lag` days before the first unsettled day on. An operator
that looks at its window alone is given the days of its window before that; one that remembers more (sums,
deviations, correlations, regressions) goes on from what it remembered on the last day before. So the bits are
those of a computation from nothing.
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
"""Numbers for each part and instrument: a correlation remembers ten, and five for each side's deviation."""
NOTHING: Final = -1


class Unsettled(Exception):  # noqa: N818 - it is a finding, and answered by a computation from nothing
    """A part whose past matters and is not known."""


class Track(NamedTuple):
    """Days that are in what is remembered already, days after which it shall be kept, and what it is."""

    skip: Whole
    save: Whole
    kept: Floats

    def from_number(self, first: int) -> Track:
        """Give another running sum of the same part its own numbers."""
        return self._replace(kept=self.kept[:, first:])


class RunningMemory:
    """What the parts of some expressions remember, at `past`; once they are computed, at `now`."""

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
        """Say up to which day each instrument can go on from what is remembered; -1 for who cannot."""
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
        """Say from which day on each instrument is computed; from the first where nothing is settled."""
        return np.where(self._past == NOTHING, 0, self._past + 1 - lag)

    def track(self, part: ExpressionPart, layout: Layout) -> Track:
        """Say how far a part is remembered, on the layout that it is computed on."""
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
        """Say which days Qlib loads to give an expression from the first to the last."""
        before, after = node.extent
        return cls(max(0, first - before), last + after)


class ExpressionPart(NamedTuple):
    """An expression that is computed from some days on."""

    node: Node
    span: DaySpan

    @property
    def parts(self) -> tuple[ExpressionPart, ...]:
        """Give what it is made of."""
        return tuple(ExpressionPart(node, self.span) for node in self.node.arrays)
