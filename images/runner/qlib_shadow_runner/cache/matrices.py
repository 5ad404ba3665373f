"""Finished matrices on the shelf, for whoever asks the same of the same data.

    matrix.f32    the columns, one after another, float32
    days.i32      each row's day, as its place in the calendar
    symbols.i32   each row's instrument
    memory.f64    what running sums remember, from which they can go on when the dataset has gained days

A matrix is computed right into the file that will be kept, mapped; what cannot be kept is computed in memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qlib_shadow_runner.cache import store
from qlib_shadow_runner.cache.store import NOT_KEPT, Store
from qlib_shadow_runner.engine.growth import StoredMatrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from qlib_shadow_runner.cache.store import Content
    from qlib_shadow_runner.engine.layout import Whole

    Floats = npt.NDArray[np.float64]
    Matrix = npt.NDArray[np.float32]

MATRIX, DAYS, SYMBOLS, MEMORY = "matrix.f32", "days.i32", "symbols.i32", "memory.f64"


class MatrixDraft(store.StoreDraft):
    """A matrix that is being made where it will lie."""

    def __init__(self, cache: MatrixStore, key: str) -> None:
        super().__init__(cache.staging(key), key)
        self._cache = cache
        self.shape: tuple[int, int] | None = None
        self.about: Content = {}
        """What will be asked of it when the dataset has gained days."""
        self.memory: Floats = np.zeros((0, 0, 0))

    def room(self, days: Whole, symbols: Whole, columns: int) -> Matrix | None:
        """Give room for the columns, in a file; None where there is none for it."""
        size = len(days) * columns * 4
        try:
            self._cache.make_room(size + 4 * len(days) + 4 * len(symbols))
            self.make_folder()
            days.astype("<i4").tofile(self.folder / DAYS)
            symbols.astype("<i4").tofile(self.folder / SYMBOLS)
            with (self.folder / MATRIX).open("wb") as stream:
                # Room that is missing shows here; in a mapping it would end the process.
                os.posix_fallocate(stream.fileno(), 0, max(size, 1))
            room: Matrix = np.memmap(self.folder / MATRIX, "<f4", "r+", shape=(columns, len(days)))
        except (OSError, ValueError) as error:
            self._cache.warn_not_kept(error)
            self.discard()
            return None
        self.shape = (columns, len(days))
        return room

    def read_only(self) -> Matrix:
        """Give the columns as whoever finds them has them: nobody changes what others read."""
        return np.memmap(self.folder / MATRIX, "<f4", "r", shape=self.shape)


class MatrixStore(Store):
    """The matrices on a shelf."""

    kind: ClassVar = "features"

    def find(self, key: str) -> StoredMatrix | None:
        """Give the matrix that is kept under a key."""
        return self.read(key, _stored)

    def begin(self, key: str) -> MatrixDraft:
        """Begin to make what belongs under a key."""
        return MatrixDraft(self, key)

    def keep(self, draft: MatrixDraft) -> str:
        """Publish what was made, and say what became of it."""
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
        """Say what there is of a family that ends on a day or before it, those of most of the symbols first.

        Unread: which of them is worth it follows from what they say of themselves.
        """
        wanted = set(symbols)
        found = [
            (len(wanted.intersection(about["symbols"])), about["last"], key, about)
            for key, about in self.descriptions()
            if about.get("family") == family and about["last"] <= last
        ]
        for shared, _, key, about in sorted(found, key=lambda one: one[:3], reverse=True):
            if shared:
                yield key, about


def _stored(folder: Path, content: Content) -> StoredMatrix:
    columns, rows = content["shape"]
    parts, instruments, width = content["memory"]
    days, symbols = (np.fromfile(folder / name, "<i4").astype(np.int64) for name in (DAYS, SYMBOLS))
    memory = np.fromfile(folder / MEMORY, "<f8").reshape(parts, instruments, width)
    matrix = np.memmap(folder / MATRIX, "<f4", "r", shape=(int(columns), int(rows)))
    return StoredMatrix(days, symbols, matrix, memory, content)
