"""Which part of an earlier matrix is still valid after the dataset gained days, and what must be computed.

An instrument continues from its saved state if its files are unchanged but for appended days, and no row is
missing. An instrument that is new, or whose past has changed, is computed wholly. This module compares what
was kept with what is requested, and computes no expression.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    """An earlier matrix, and which of its rows are reused."""

    stored: StoredMatrix
    settled: Whole
    """For each instrument the last day of its saved state, or -1 if it is computed wholly."""
    kept: Floats
    """The saved state of running sums, for the requested instruments."""
    source: Whole
    """For each requested row the number of the same row in the earlier matrix, or any number."""
    shared: int
    """The number of first rows that are the same in both."""
    moved: Whole
    """Later rows that are copied from other positions."""
    computed: Whole
    """Rows that are computed."""
    days: int
    """The number of new days."""

    @property
    def recomputed_instruments(self) -> int:
        """Return the number of instruments that are computed wholly."""
        return int((self.settled == NOTHING).sum())

    def missing(self, rows: Rows) -> Rows:
        """Return the rows that are computed."""
        return Rows(rows.days[self.computed], rows.instruments[self.computed])

    def copy(self, numbers: Sequence[int], matrix: Matrix, threads: int) -> None:
        """Copy the valid rows of some columns."""
        moved = self.source[self.moved]

        def column(number: int) -> None:
            new = matrix[number]
            new[: self.shared] = self.stored.take(number, slice(0, self.shared))
            new[self.moved] = self.stored.take(number, moved)
            release_pages(new)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(column, numbers))

    def part(self, rows: Rows, matrix: Matrix) -> MatrixPart:
        """Return what is to be kept of the computed matrix: the rows that the base does not have."""
        source = np.full(len(rows.days), NOTHING)
        copied = np.ones(len(rows.days), np.bool_)
        copied[self.computed] = False
        source[copied] = self.stored.source[self.source[copied]]
        own = np.flatnonzero(source < 0)
        if len(own) * SHARE > len(source):
            return MatrixPart(rows.days, rows.instruments, matrix)
        source[own] = ~np.arange(len(own))
        return MatrixPart(rows.days, rows.instruments, matrix[:, own], self.stored.base, source)


class PreviousMatrix(NamedTuple):
    """What an earlier matrix holds of each requested instrument, if it has every row."""

    order: Whole
    """The instrument's number in the earlier matrix; -1 if it is not there."""
    settled: Whole
    """The last day of its saved state, or -1 if it is computed wholly."""
    until: Whole
    """The last day whose values are unchanged."""


def describe(inputs: Inputs, memory: RunningMemory, last: int) -> dict[str, object]:
    """Return what a later request compares with: the files, the symbols and their last final days."""
    return {
        "last": last,
        "symbols": list(inputs.symbols),
        "settled": memory.settled.tolist(),
        "inputs": inputs.signed(),
    }


def match_previous(about: Content, inputs: Inputs, ahead: int) -> PreviousMatrix | None:
    """Compare an earlier matrix's description with the files of now; None if no instrument can continue."""
    then = {symbol: number for number, symbol in enumerate(about["symbols"])}
    order = np.array([then.get(symbol, NOTHING) for symbol in inputs.symbols], np.int64)
    begun, same = inputs.begin_with(about["inputs"], order)
    settled = np.where(begun, np.array(about["settled"], np.int64)[order], NOTHING)
    if (settled == NOTHING)[inputs.present].all():
        return None
    until = np.where(same & inputs.ended(about["last"]), about["last"], settled - ahead)
    return PreviousMatrix(order, settled, until)


def grow(stored: StoredMatrix, before: PreviousMatrix, rows: Rows, last: int) -> Growth | None:
    """Return what an earlier matrix gives for these rows; None if that is nothing."""
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
    """Return each row's number in the earlier matrix, and whether it is there; both are sorted alike."""
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


class Base(NamedTuple):
    """A matrix of which others keep no copy: its key, the hash of its description, and its columns."""

    key: str
    itself: str
    matrix: Matrix


class MatrixPart(NamedTuple):
    """Rows to keep, as positions in calendar and universe, and the values that their base does not have."""

    days: Whole
    instruments: Whole
    own: Matrix
    base: Base | None = None
    source: Whole | None = None
    """For each row its number in the base, or the complement of its number in `own`."""


@dataclass(frozen=True)
class StoredMatrix:
    """Rows of a kept matrix, mapped into memory and not yet read."""

    key: str
    days: Whole
    instruments: Whole
    memory: Floats
    about: Content
    base: Base
    """The matrix itself, unless it is kept as what another one does not have."""
    source: Whole
    """For each row its number in the base, or the complement of its number in `own`."""
    own: Matrix

    @property
    def columns(self) -> int:
        """Return the number of columns."""
        return len(self.own)

    def take(self, column: int, rows: slice | Whole) -> npt.NDArray[np.float32]:
        """Return some rows of a column."""
        source, base = self.source[rows], self.base.matrix[column]
        found: npt.NDArray[np.float32]
        if not self.own.shape[1]:
            found = base[source]
        else:
            found = np.empty(len(source), np.float32)
            there = source >= 0
            found[there] = base[source[there]]
            found[~there] = self.own[column][~source[~there]]
        release_pages(base)
        return found

    def matrix(self, threads: int) -> Matrix:
        """Return all columns: mapped where they are a whole matrix, else in memory."""
        if not self.own.shape[1] and len(self.source) == self.base.matrix.shape[1]:
            return self.base.matrix
        matrix = np.empty((self.columns, len(self.source)), np.float32)

        def column(number: int) -> None:
            matrix[number] = self.take(number, slice(None))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(column, range(self.columns)))
        return matrix


SHARE: Final = 4
"""A matrix that shares less than three quarters of its rows with its base is kept without a base."""
