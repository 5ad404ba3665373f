"""Finished matrices on the volume, for whoever asks the same of the same data.

    cache/features/<key>/matrix.f32    the columns, one after another, float32
    cache/features/<key>/days.i32      each row's day, as its place in the calendar
    cache/features/<key>/symbols.i32   each row's instrument
    cache/features/<key>/content.json  sizes and hashes; written last

A folder is made under another name and renamed when it is whole, so that others see all of it or nothing.
Its hashes are checked whenever it is read: what is damaged is told, removed and computed again. The time of a
folder says when it was last used; the oldest go when there is more than the limit. Whoever reads a matrix
that is removed meanwhile goes on reading it: the kernel keeps a mapped file. Nothing here is needed: what
cannot be kept is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from qlib_shadow_runner.dataset.durability import sync_tree
from qlib_shadow_runner.fast.places import ENV_CACHE, ENV_LIMIT
from qlib_shadow_runner.files import read_json_object, write_json
from qlib_shadow_runner.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qlib_shadow_runner.fast.layout import Whole

    Matrix = npt.NDArray[np.float32]

LIMIT: Final = 20 << 30
"""Bytes that may stay: a dozen matrices of 500 symbols over 15 years."""
MATRIX, DAYS, SYMBOLS, CONTENT = "matrix.f32", "days.i32", "symbols.i32", "content.json"
SCHEMA: Final = 1
STAGING: Final = ".making-"
ABANDONED: Final = 24 * 3600.0
"""Seconds after which nobody is making it any more."""
CHUNK: Final = 32 << 20


@dataclass(frozen=True)
class Stored:
    """A matrix that was found, mapped and not read."""

    days: Whole
    instruments: Whole
    matrix: Matrix


@dataclass(frozen=True)
class Entry:
    """What lies in the cache under one key."""

    folder: Path
    used: float
    size: int


class Draft:
    """A matrix that is being made where it will lie."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.shape: tuple[int, int] | None = None

    def room(self, days: Whole, symbols: Whole, columns: int) -> Matrix | None:
        """Give room for the columns, in a file; None where there is none for it."""
        size = len(days) * columns * 4
        try:
            self.folder.mkdir(parents=True)
            days.astype("<i4").tofile(self.folder / DAYS)
            symbols.astype("<i4").tofile(self.folder / SYMBOLS)
            with (self.folder / MATRIX).open("wb") as stream:
                # Room that is missing shows here; in a mapping it would end the process.
                os.posix_fallocate(stream.fileno(), 0, max(size, 1))
            room: Matrix = np.memmap(self.folder / MATRIX, "<f4", "r+", shape=(columns, len(days)))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"warning: the features are not kept for other runs: {error}\n")
            self.discard()
            return None
        self.shape = (columns, len(days))
        return room

    def discard(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Cache:
    """The cache in one folder."""

    home: Path
    limit: int = LIMIT

    @classmethod
    def from_environ(cls) -> Self | None:
        """Find it in a child of the stage."""
        home = os.environ.get(ENV_CACHE)
        return cls(Path(home), int(os.environ.get(ENV_LIMIT) or LIMIT)) if home else None

    def find(self, key: str) -> Stored | None:
        """Give what is kept under a key, if every byte of it is what was written."""
        folder = self.home / key
        content = read_json_object(folder / CONTENT)
        if content is None and not folder.is_dir():
            return None
        try:
            found = _read(folder, content or {})
            os.utime(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(
                f"warning: {folder} cannot be used ({error}); the features are computed again.\n"
            )
            remove(folder)
            return None
        return found

    def begin(self, key: str) -> Draft:
        """Begin to make what belongs under a key."""
        return Draft(self.home / f"{STAGING}{key[:12]}-{secrets.token_hex(4)}", key)

    def keep(self, draft: Draft) -> str:
        """Publish what was made, make room for it, and say what became of it."""
        if draft.shape is None:
            return "not kept"
        try:
            self._publish(draft)
        except OSError as error:
            sys.stderr.write(f"warning: the features are not kept for other runs: {error}\n")
            draft.discard()
            return "not kept"
        self.shrink()
        return "kept for other runs"

    def _publish(self, draft: Draft) -> None:
        assert draft.shape is not None, "it was asked before"
        hashes = _hashes(draft.folder, draft.shape)
        content = {"schema": SCHEMA, "shape": draft.shape, "sha256": hashes}
        write_json(draft.folder / CONTENT, content)
        sync_tree(draft.folder)
        try:
            draft.folder.rename(self.home / draft.key)
        except OSError:
            if not (self.home / draft.key / CONTENT).is_file():
                raise
            draft.discard()  # another run was faster, with the same

    def entries(self) -> list[Entry]:
        """List what is kept, the longest unused first."""
        found = [_entry(path) for path in self._folders() if not path.name.startswith(".")]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.used)

    def shrink(self, limit: int | None = None) -> list[Entry]:
        """Remove the longest unused until the rest is within the limit, and what was abandoned half made."""
        for path in self._folders():
            if path.name.startswith(".") and time.time() - _time(path) > ABANDONED:
                remove(path)
        entries = self.entries()
        room = sum(entry.size for entry in entries) - (self.limit if limit is None else limit)
        removed = []
        for entry in entries:
            if room <= 0:
                break
            remove(entry.folder)
            removed.append(entry)
            room -= entry.size
        return removed

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            yield from sorted(self.home.iterdir())


def remove(folder: Path) -> None:
    """Take a folder out of sight first, so that nobody finds half of it."""
    grave = folder.with_name(f"{STAGING}removed-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def _read(folder: Path, content: dict[str, Any]) -> Stored:
    if content.get("schema") != SCHEMA:
        raise ValueError("its content is not described")
    columns, rows = content["shape"]
    shape = (int(columns), int(rows))
    if (folder / MATRIX).stat().st_size != max(shape[0] * shape[1] * 4, 1):
        raise ValueError("it was cut")
    if _hashes(folder, shape) != content["sha256"]:
        raise ValueError("it is not what was written")
    days, symbols = (np.fromfile(folder / name, "<i4").astype(np.int64) for name in (DAYS, SYMBOLS))
    return Stored(days, symbols, np.memmap(folder / MATRIX, "<f4", "r", shape=shape))


def _hashes(folder: Path, shape: tuple[int, int]) -> dict[str, str]:
    """Hash the rows' names, and the matrix in pieces, on all cores."""
    size = max(shape[0] * shape[1] * 4, 1)
    pieces = range(0, size, CHUNK)
    with ThreadPoolExecutor(read_limits().threads) as pool:
        digests = list(pool.map(lambda at: _piece(folder / MATRIX, at), pieces))
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    rows = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (DAYS, SYMBOLS)}
    return {MATRIX: whole, **rows}


def _piece(path: Path, at: int) -> str:
    with path.open("rb") as stream:
        stream.seek(at)
        return hashlib.sha256(stream.read(CHUNK)).hexdigest()


def _entry(folder: Path) -> Entry | None:
    try:
        files = list(folder.iterdir())
        return Entry(folder, _time(folder), sum(file.stat().st_size for file in files))
    except OSError:  # it is being removed
        return None


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
