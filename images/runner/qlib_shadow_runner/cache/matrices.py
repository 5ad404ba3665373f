"""Finished matrices in the store, for later requests of the same columns of the same data.

    matrix.f32     the columns, one after another, float32
    blocks.sha256  the hashes of its blocks: who reads some days verifies only those
    days.i32       the day of each row, as its position in the calendar
    symbols.i32    the instrument of each row
    memory.f64     the state of running sums, to continue from when the dataset has gained days
    source.i32     only where an entry has a base: where each row is

A matrix is computed in its mapped file, which is then published. Where there is no room for the file, it is
computed in memory and not kept.

A run that reads only the last days keeps only them, and of these only the rows that another entry, its base,
does not have: `source` gives a row's number in the base, or the complement of its number among its own. A
base has no base itself. An entry whose base is gone, or is not the one it was made for, is no entry.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qlib_shadow_runner.cache.blocks import hash_blocks, require_intact
from qlib_shadow_runner.cache.store import KEY, NOT_KEPT, Store, StoreDraft
from qlib_shadow_runner.engine.growth import Base, StoredMatrix
from qlib_shadow_runner.storage.removal import remove
from qlib_shadow_runner.storage.untrusted import MATRIX as MATRIX_KIND
from qlib_shadow_runner.storage.untrusted import open_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from qlib_shadow_runner.cache.content import Content
    from qlib_shadow_runner.engine.growth import MatrixPart
    from qlib_shadow_runner.engine.layout import Whole

    Floats = npt.NDArray[np.float64]
    Matrix = npt.NDArray[np.float32]

MATRIX, DAYS, SYMBOLS, MEMORY = "matrix.f32", "days.i32", "symbols.i32", "memory.f64"
BLOCKS, SOURCE = "blocks.sha256", "source.i32"


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
            self._begin(days, symbols)
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

    def write(self, part: MatrixPart) -> None:
        """Write the rows that a run has read, without those that their base has."""
        self._store.make_room(part.own.nbytes + 12 * len(part.days))
        self._begin(part.days, part.instruments)
        if part.source is not None:
            part.source.astype("<i4").tofile(self.folder / SOURCE)
        part.own.astype("<f4", copy=False).tofile(self.folder / MATRIX)
        self.shape = (part.own.shape[0], part.own.shape[1])

    def read_only(self) -> Matrix:
        """Return the columns read-only, as later readers get them."""
        if self.shape is None or not all(self.shape):
            return np.empty(self.shape or (0, 0), np.float32)
        return np.memmap(self.folder / MATRIX, "<f4", "r", shape=self.shape)

    def _begin(self, days: Whole, symbols: Whole) -> None:
        self.make_folder()
        days.astype("<i4").tofile(self.folder / DAYS)
        symbols.astype("<i4").tofile(self.folder / SYMBOLS)


class MatrixStore(Store):
    """The store's entries that hold matrices."""

    kind: ClassVar = "features"
    verified_by_reader: ClassVar = frozenset({MATRIX})

    def find(self, key: str, since: int = 0) -> StoredMatrix | None:
        """Return the rows from a day on that are kept under a key, or None."""
        return self.read(key, functools.partial(self._stored, since=since))

    def begin(self, key: str) -> MatrixDraft:
        """Return a draft of the matrix that belongs under a key."""
        return MatrixDraft(self, key)

    def keep(self, draft: MatrixDraft, part: MatrixPart | None = None) -> str:
        """Publish a matrix, or the part that was read of one, and return `KEPT` or `NOT_KEPT`."""
        try:
            if part:
                draft.write(part)
            if draft.shape is None:
                return NOT_KEPT
            draft.memory.astype("<f8").tofile(draft.folder / MEMORY)
            (draft.folder / BLOCKS).write_bytes(hash_blocks(draft.read_only()))
        except OSError as error:
            self.warn_not_kept(error)
            draft.discard()
            return NOT_KEPT
        about = {**draft.about, "shape": draft.shape, "memory": draft.memory.shape}
        if part and part.base:
            about |= {"base": part.base.key, "base_itself": part.base.itself}
        return self.publish(draft, about)

    def replace(self, stored: StoredMatrix) -> None:
        """Remove an entry with a base, of which a newer one has all that a later day can use."""
        if stored.key != stored.base.key:
            remove(self.home / stored.key)

    def older(
        self, family: str, last: int, symbols: Iterable[str], since: int = 0
    ) -> Iterator[tuple[str, Content]]:
        """Return the descriptions of a family's matrices up to a day, those with most of the symbols first.

        They have rows from the day `since` on, or an earlier one. Only descriptions are read here; the caller
        decides which matrix is worth reading.
        """
        wanted = set(symbols)
        found = [
            (len(wanted.intersection(about["symbols"])), about["last"], key, about)
            for key, about in self.descriptions()
            if about.get("family") == family
            and _is_described(about)
            and about["last"] <= last
            and about.get("since", 0) <= since
        ]
        for shared, _, key, about in sorted(found, key=lambda one: one[:3], reverse=True):
            if shared:
                yield key, about

    def _stored(self, folder: Path, content: Content, since: int) -> StoredMatrix:
        parts, instruments, width = content["memory"]
        days, symbols = (_whole(folder / name) for name in (DAYS, SYMBOLS))
        memory = np.fromfile(folder / MEMORY, "<f8").reshape(parts, instruments, width)
        if len(days) != len(symbols) or (np.diff(days) < 0).any():
            raise ValueError("its rows are not in the order of days")
        first = int(np.searchsorted(days, since))
        if content.get("base") is None:
            matrix = _mapped(folder, content, first)
            if matrix.shape[1] != len(days):
                raise ValueError(f"it has {matrix.shape[1]} rows of values and {len(days)} of days")
            base, source = Base(folder.name, str(content["itself"]), matrix), np.arange(len(days))
            return StoredMatrix(
                folder.name,
                days[first:],
                symbols[first:],
                memory,
                content,
                base,
                source[first:],
                matrix[:, :0],
            )
        own, source = _mapped(folder, content, 0), _whole(folder / SOURCE)
        if len(source) != len(days):
            raise ValueError("its rows have other sources")
        source = source[first:]
        base = self._base(content, source)
        if source.min(initial=0) < -own.shape[1] or source.max(initial=-1) >= base.matrix.shape[1]:
            raise ValueError("a row is in neither matrix")
        if len(own) != len(base.matrix):
            raise ValueError(f"its base has {len(base.matrix)} columns")
        return StoredMatrix(folder.name, days[first:], symbols[first:], memory, content, base, source, own)

    def _base(self, content: Content, source: Whole) -> Base:
        key, itself = str(content["base"]), str(content["base_itself"])
        if not KEY.fullmatch(key):
            raise ValueError("its base has no name")
        first = int(source[source >= 0].min(initial=np.iinfo(np.int32).max))

        def read(folder: Path, about: Content) -> tuple[Matrix, bool]:
            is_it = about["itself"] == itself and about.get("base") is None
            return _mapped(folder, about, first), is_it

        matrix, is_it = self.read(key, read) or (None, False)
        if matrix is None or not is_it:
            raise ValueError("its base is gone")
        return Base(key, itself, matrix)


def _is_described(about: Content) -> bool:
    """Return whether a description, which another run has written, has the fields of a matrix."""
    symbols, last = about.get("symbols"), about.get("last")
    return (
        isinstance(last, int)
        and isinstance(about.get("since", 0), int)
        and isinstance(symbols, list)
        and all(isinstance(symbol, str) for symbol in symbols)
    )


def _whole(path: Path) -> Whole:
    return np.fromfile(path, "<i4").astype(np.int64)


def _mapped(folder: Path, content: Content, first: int) -> Matrix:
    """Return a matrix whose blocks from a row on are what was written."""
    columns, rows = (int(size) for size in content["shape"])
    with open_file(folder, MATRIX, MATRIX_KIND) as stream:
        if not columns * rows:
            return np.empty((columns, rows), np.float32)
        if os.fstat(stream.fileno()).st_size != columns * rows * 4:
            raise ValueError("its matrix has another size")
        matrix: Matrix = np.memmap(stream, "<f4", "r", shape=(columns, rows))
    require_intact(matrix, (folder / BLOCKS).read_bytes(), min(first, rows))
    return matrix
