"""Many expressions over all instruments: one row for each day and instrument, one column for each expression.

The rows are in the order of Qlib's handlers: by day, then by instrument. The caller provides the columns, in
memory or in a mapped file.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.engine.bins import Bins
from qlib_shadow_runner.engine.evaluate import Evaluator, Shapes, StartDays
from qlib_shadow_runner.engine.inputs import Inputs
from qlib_shadow_runner.engine.layout import MISSING, Layout, Layouts, Rows, places, release_pages
from qlib_shadow_runner.engine.memory import NOTHING, DaySpan, ExpressionPart, RunningMemory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from qlib_shadow_runner.engine.expressions import Node
    from qlib_shadow_runner.engine.growth import Growth
    from qlib_shadow_runner.engine.layout import Whole

    Matrix = npt.NDArray[np.float32]

KEPT: Final = 8
"""The number of layouts whose row positions are kept; each costs 8 bytes a row."""


@dataclass(frozen=True)
class Universe:
    """Sorted instruments, the folders of their files, and their listed spans; None if every day counts."""

    symbols: tuple[str, ...]
    folders: tuple[str, ...]
    spans: tuple[tuple[tuple[int, int], ...], ...] | None


class ExpressionMatrix:
    """Computes expressions from the first to the last day of the calendar, both included."""

    def __init__(self, root: Path, universe: Universe, first: int, last: int) -> None:
        self._layouts = Layouts()
        self._universe = universe
        self._bins = Bins(root, universe.folders, self._layouts)
        self._shapes = Shapes(self._bins, self._layouts)
        self._first, self._last = first, last

    @property
    def irregular(self) -> list[str]:
        """Return the instruments that are left out because their files need Qlib's own handling."""
        return [self._universe.symbols[number] for number in sorted(self._shapes.irregular)]

    def rows(self, nodes: Sequence[Node]) -> Rows:
        """Return the rows: the days on which any expression has a value, within the listed spans."""
        whole = self._hull(nodes)
        keep = self._kept(whole)
        grid = np.zeros((self._last + 1 - self._first, len(self._universe.symbols)), np.bool_)
        instruments = np.repeat(np.arange(grid.shape[1]), whole.counts)
        grid[whole.days[keep] - self._first, instruments[keep]] = True
        days, instruments = np.nonzero(grid)
        return Rows(days + self._first, instruments)

    def inputs(self, nodes: Sequence[Node]) -> Inputs:
        """Return the files that the expressions read."""
        fields = sorted(frozenset[str]().union(*(node.fields for node in nodes)))
        return Inputs(self._bins, fields, self._universe.symbols, self._last)

    def fill(
        self,
        nodes: Sequence[Node],
        rows: Rows,
        columns: Sequence[Matrix],
        threads: int,
        growth: Growth | None = None,
    ) -> RunningMemory:
        """Compute each expression's column, or the rows that `growth` lacks; return the new state."""
        parts = [self._part(node) for node in nodes]
        memory = self._memory(nodes, growth)
        start_days = StartDays(self._shapes, self._layouts, memory)
        evaluator = Evaluator(self._bins, start_days, parts)
        if growth:
            rows = growth.missing(rows)
        where = growth.computed if growth else slice(None)
        gathers: dict[Layout, tuple[Whole, bool]] = {}

        def column(number: int) -> None:
            part = parts[number]
            layout = start_days.of(part)
            if layout not in gathers:
                for oldest in list(gathers)[: 1 - KEPT]:
                    gathers.pop(oldest, None)
                gathers[layout] = _gather(layout, rows)
            gather, some_missing = gathers.get(layout) or _gather(layout, rows)
            columns[number][where] = _rows(evaluator.take(part), gather, some_missing=some_missing)
            release_pages(columns[number])

        # Expressions of the same window share most of their parts, which are freed after the last one.
        order = sorted(range(len(nodes)), key=lambda number: _widest(nodes[number]))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(column, order))
        return memory

    def _memory(self, nodes: Sequence[Node], growth: Growth | None) -> RunningMemory:
        now = self.inputs(nodes).settled
        past = growth.settled if growth else np.full(len(now), NOTHING)
        memory = RunningMemory(map(self._part, nodes), past, now, max(node.ahead for node in nodes))
        if growth:
            memory.kept[:] = growth.kept
        return memory

    def _part(self, node: Node) -> ExpressionPart:
        return ExpressionPart(node, DaySpan.of(node, self._first, self._last))

    def _hull(self, nodes: Sequence[Node]) -> Layout:
        whole = None
        for node in nodes:
            own = self._layouts.within(self._shapes.of(self._part(node)), self._first, self._last + 1)
            if whole is None:
                whole = own
            whole, apart = self._layouts.union(whole, own)
            self._shapes.irregular.update(apart.tolist())
        assert whole is not None, "a request has at least one expression"
        return whole

    def _kept(self, whole: Layout) -> npt.NDArray[np.bool_]:
        spans = self._universe.spans
        keep = np.full(whole.size, spans is None)
        for number, listed_spans in enumerate(spans or ()):
            begin, first, end = whole.offsets[number], whole.first[number], whole.end[number]
            for listed, delisted in listed_spans:
                low, high = max(listed, first), min(delisted + 1, end)
                keep[begin + low - first : begin + max(high, low) - first] = True
        for number in self._shapes.irregular:
            keep[whole.offsets[number] : whole.offsets[number + 1]] = False
        return keep


def _widest(node: Node) -> int:
    return max([abs(node.days), *(_widest(inner) for inner in node.operands)])


def _gather(layout: Layout, rows: Rows) -> tuple[Whole, bool]:
    found = places(layout, rows.instruments, rows.days)
    return found, bool((found == MISSING).any())


def _rows(values: npt.NDArray[np.generic], gather: Whole, *, some_missing: bool) -> Matrix:
    if not values.size:
        return np.full(len(gather), np.nan, np.float32)
    with np.errstate(all="ignore"):
        found: Matrix = np.take(values.astype(np.float32, copy=False), gather, mode="clip")
    if some_missing:
        found[gather == MISSING] = np.nan
    return found
