"""Finished matrices in the store, for later requests of the same columns of the same data.

    matrix.f32    the columns, one after another, float32
    days.i32      the day of each row, as its position in the calendar
    symbols.i32   the instrument of each row
    memory.f64    the state of running sums, to continue from when the dataset has gained days

A matrix is computed in its mapped file, which is then published. Where there is no room for the file, it is
computed in memory and not kept.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qlib_shadow_runner.cache.store import NOT_KEPT, Store, StoreDraft
from qlib_shadow_runner.engine.growth import StoredMatrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from qlib_shadow_runner.cache.content import Content
    from qlib_shadow_runner.engine.layout import Whole

    Floats = npt.NDArray[np.float64]
    Matrix = npt.NDArray[np.float32]

MATRIX, DAYS, SYMBOLS, MEMORY = "matrix.f32", "days.i32", "symbols.i32", "memory.f64"


class MatrixDraft(StoreDraft):
    """A matrix that is being computed, in its file or in memory."""

    def __init__(self, store: MatrixStore, key: str) -> None:
        super().__init__(store.staging(key), key)
        self._store = store
        self.shape: tuple[int, int] | None = None
        self.about: Content = {}
        """What a later request compares with when the dataset has gained days."""
        self.memory: Floats = np.zeros((0, 0, 0))

    def room(self, days: Whole, symbols: Whole, columns: int) -> Matrix | None:
        """Return an array in a file for the columns; None where there is no room for it."""
        size = len(days) * columns * 4
        try:
            self._store.make_room(size + 4 * len(days) + 4 * len(symbols))
            self.make_folder()
            days.astype("<i4").tofile(self.folder / DAYS)
            symbols.astype("<i4").tofile(self.folder / SYMBOLS)
            with (self.folder / MATRIX).open("wb") as stream:
                # Fails here where space is missing; a write into a mapping would kill the process.
                os.posix_fallocate(stream.fileno(), 0, max(size, 1))
            room: Matrix = np.memmap(self.folder / MATRIX, "<f4", "r+", shape=(columns, len(days)))
        except (OSError, ValueError) as error:
            self._store.warn_not_kept(error)
            self.discard()
            return None
        self.shape = (columns, len(days))
        return room

    def read_only(self) -> Matrix:
        """Return the columns read-only, as later readers get them."""
        return np.memmap(self.folder / MATRIX, "<f4", "r", shape=self.shape)


class MatrixStore(Store):
    """The store's entries that hold matrices."""

    kind: ClassVar = "features"

    def find(self, key: str) -> StoredMatrix | None:
        """Return the matrix that is kept under a key, or None."""
        return self.read(key, _stored)

    def begin(self, key: str) -> MatrixDraft:
        """Return a draft of the matrix that belongs under a key."""
        return MatrixDraft(self, key)

    def keep(self, draft: MatrixDraft) -> str:
        """Publish a matrix, and return `KEPT` or `NOT_KEPT`."""
        if draft.shape is None:
            return NOT_KEPT
        try:
            draft.memory.astype("<f8").tofile(draft.folder / MEMORY)
        except OSError as error:
            self.warn_not_kept(error)
            draft.discard()
            return NOT_KEPT
        return self.publish(draft, {**draft.about, "shape": draft.shape, "memory": draft.memory.shape})

    def older(self, family: str, last: int, symbols: Iterable[str]) -> Iterator[tuple[str, Content]]:
        """Return the descriptions of a family's matrices up to a day, those with most of the symbols first.

        Only descriptions are read here; the caller decides which matrix is worth reading.
        """
        wanted = set(symbols)
        found = [
            (len(wanted.intersection(about["symbols"])), about["last"], key, about)
            for key, about in self.descriptions()
            if about.get("family") == family and _is_described(about) and about["last"] <= last
        ]
        for shared, _, key, about in sorted(found, key=lambda one: one[:3], reverse=True):
            if shared:
                yield key, about


def _is_described(about: Content) -> bool:
    """Return whether a description, which another run has written, has the fields of a matrix."""
    symbols, last = about.get("symbols"), about.get("last")
    return (
        isinstance(last, int)
        and isinstance(symbols, list)
        and all(isinstance(symbol, str) for symbol in symbols)
    )


def _stored(folder: Path, content: Content) -> StoredMatrix:
    columns, rows = content["shape"]
    parts, instruments, width = content["memory"]
    days, symbols = (np.fromfile(folder / name, "<i4").astype(np.int64) for name in (DAYS, SYMBOLS))
    memory = np.fromfile(folder / MEMORY, "<f8").reshape(parts, instruments, width)
    matrix = np.memmap(folder / MATRIX, "<f4", "r", shape=(int(columns), int(rows)))
    return StoredMatrix(days, symbols, matrix, memory, content)
