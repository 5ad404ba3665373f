"""The files of a run that are shown: chosen from a list of what is there, opened without following links."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import RESULTS, STDERR_FILE, STDOUT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGS: Final = {"stdout": STDOUT_FILE, "stderr": STDERR_FILE}
"""Logs by the name that they have in an address."""
TYPES: Final = {
    ".json": "application/json",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
TEXT: Final = "text/plain; charset=utf-8"
"""What everything else is shown as, pages too: only the report is one."""
CHUNK: Final = 1 << 18
SHOWN: Final = 1 << 16
"""How much of a log's end a page begins with."""


@dataclass(frozen=True)
class Shown:
    """One file of a run."""

    name: str
    size: int

    @property
    def kind(self) -> str:
        """Say what a browser may take it for."""
        return TYPES.get(os.path.splitext(self.name)[1], TEXT)  # noqa: PTH122 - a name, and no path


@dataclass(frozen=True)
class Piece:
    """A part of a log, and where the next one begins."""

    text: str
    next: int


def shown_files(folder: Path) -> list[Shown]:
    """List the run's own files, and the results of its stages; no folder of others, nothing hidden."""
    return [*_regular(folder, ""), *_regular(folder / RESULTS, f"{RESULTS}/")]


def _regular(folder: Path, prefix: str) -> Iterator[Shown]:
    try:
        paths = [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir())
    except OSError:  # it is not ours to look at
        return
    for path in paths:
        try:
            status = path.lstat()
        except OSError:  # a run is writing here
            continue
        if stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
            yield Shown(prefix + path.name, status.st_size)


def open_file(path: Path) -> tuple[int, int] | None:
    """Give a descriptor and the size of a regular file; None for what is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    return descriptor, status.st_size


def content(descriptor: int, size: int) -> Iterator[bytes]:
    """Read so many bytes, as long as there are any."""
    while size > 0 and (data := os.read(descriptor, min(CHUNK, size))):
        size -= len(data)
        yield data


def read_log(path: Path, begin: int | None) -> Piece:
    """Read a log from there on; its end where nothing is said, its beginning where it has become shorter."""
    opened = open_file(path)
    if opened is None:
        return Piece("", 0)
    descriptor, size = opened
    try:
        if begin is None:
            begin = _line_start(descriptor, max(0, size - SHOWN))
        elif begin > size:
            begin = 0
        data = os.pread(descriptor, CHUNK, begin)
    finally:
        os.close(descriptor)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data)
    return Piece(text, begin + len(data) - len(decoder.getstate()[0]))


def _line_start(descriptor: int, begin: int) -> int:
    """Go on to where a line begins, if one does soon."""
    if begin == 0:
        return 0
    found = os.pread(descriptor, SHOWN, begin).find(b"\n")
    return begin if found < 0 else begin + found + 1
