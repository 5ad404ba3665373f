"""What of a finished matrix is still true when the dataset has gained days, and what is to be computed.

An instrument goes on where it was left if its files are what they were and something appended, and no row is
missing; another one, new or with another past, is computed wholly. Knows what was kept and what is asked;
computes no expression.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qlib_shadow_runner.engine.layout import Rows, release_pages
from qlib_shadow_runner.engine.memory import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from qlib_shadow_runner.engine.inputs import Inputs
    from qlib_shadow_runner.engine.layout import Whole
    from qlib_shadow_runner.engine.memory import Floats, RunningMemory

    Matrix = npt.NDArray[np.float32]
    Content = Mapping[str, Any]


@dataclass(frozen=True)
class Growth:
    """An earlier matrix, and how far it holds."""

    stored: StoredMatrix
    settled: Whole
    """The day up to which each instrument goes on from what is remembered; -1 for who is computed wholly."""
    kept: Floats
    """What is remembered, for the instruments of now."""
    source: Whole
    """For each row of now its row then, or any."""
    shared: int
    """So many rows at the beginning are the same."""
    moved: Whole
    """Rows after those that are taken from elsewhere."""
    computed: Whole
    """Rows that are computed."""
    days: int
    """New days."""

    @property
    def recomputed_instruments(self) -> int:
        """Count the instruments that are computed wholly."""
        return int((self.settled == NOTHING).sum())

    def missing(self, rows: Rows) -> Rows:
        """Give the rows that are computed."""
        return Rows(rows.days[self.computed], rows.instruments[self.computed])

    def copy(self, numbers: Sequence[int], matrix: Matrix, threads: int) -> None:
        """Take over what is still true of some columns."""

        def column(number: int) -> None:
            old, new = self.stored.matrix[number], matrix[number]
            new[: self.shared] = old[: self.shared]
            new[self.moved] = old[self.source[self.moved]]
            release_pages(old)
            release_pages(new)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(column, numbers))


class PreviousMatrix(NamedTuple):
    """What each instrument of now has in an earlier matrix, if every row of it is there."""

    order: Whole
    """Its number then; -1 for none."""
    settled: Whole
    """The day up to which it goes on from what is remembered; -1 for who is computed wholly."""
    until: Whole
    """The day up to which its values are what they were."""


def describe(inputs: Inputs, memory: RunningMemory, last: int) -> dict[str, object]:
    """Say of a matrix what will be asked when the dataset has grown."""
    return {
        "last": last,
        "symbols": list(inputs.symbols),
        "settled": memory.settled.tolist(),
        "files": inputs.signed(),
    }


def match_previous(about: Content, inputs: Inputs, ahead: int) -> PreviousMatrix | None:
    """Say who may go on from an earlier matrix, by what it says of itself; None where nobody may."""
    then = {symbol: number for number, symbol in enumerate(about["symbols"])}
    order = np.array([then.get(symbol, NOTHING) for symbol in inputs.symbols], np.int64)
    begun, same = inputs.begin_with(about["files"], order)
    settled = np.where(begun, np.array(about["settled"], np.int64)[order], NOTHING)
    if (settled == NOTHING)[inputs.present].all():
        return None
    until = np.where(same & inputs.ended(about["last"]), about["last"], settled - ahead)
    return PreviousMatrix(order, settled, until)


def grow(stored: StoredMatrix, before: PreviousMatrix, rows: Rows, last: int) -> Growth | None:
    """Say what an earlier matrix gives for these rows; None where that is nothing."""
    order, settled, until = before.order, before.settled.copy(), before.until.copy()
    until[settled == NOTHING] = NOTHING
    source, there = _sources(stored, order, rows, stored.about["last"])
    lacking = np.unique(rows.instruments[(rows.days <= until[rows.instruments]) & ~there])
    settled[lacking] = until[lacking] = NOTHING
    if (settled == NOTHING).all():
        return None
    copied = rows.days <= until[rows.instruments]
    shared = _prefix(source, there)
    kept = stored.memory[:, order]
    kept[:, settled == NOTHING] = 0
    moved = shared + np.flatnonzero(copied[shared:])
    new = last - stored.about["last"]
    return Growth(stored, settled, kept, source, shared, moved, np.flatnonzero(~copied), new)


def _sources(
    stored: StoredMatrix, order: Whole, rows: Rows, last: int
) -> tuple[Whole, npt.NDArray[np.bool_]]:
    """Find each row among the earlier ones; both are by day, then by symbol."""
    width = len(order)
    now = np.full(stored.memory.shape[1], NOTHING)
    now[order[order >= 0]] = np.flatnonzero(order >= 0)
    instruments = now[stored.instruments]
    still = np.flatnonzero(instruments >= 0)
    if not len(still):
        return np.zeros(len(rows.days), np.int64), np.zeros(len(rows.days), np.bool_)
    old = stored.days[still] * width + instruments[still]
    wanted = rows.days * width + rows.instruments
    if len(old) <= len(wanted) and (old == wanted[: len(old)]).all():
        found = np.arange(len(wanted))
    else:
        found = np.searchsorted(old, wanted)
    there = found < len(old)
    found = np.minimum(found, len(old) - 1)
    there &= (rows.days <= last) & (old[found] == wanted)
    return still[found], there


def _prefix(source: Whole, there: npt.NDArray[np.bool_]) -> int:
    apart = np.flatnonzero(~there | (source != np.arange(len(source))))
    return int(apart[0]) if len(apart) else len(source)


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix that was found, mapped and not read."""

    days: Whole
    instruments: Whole
    matrix: Matrix
    memory: Floats
    about: Content
