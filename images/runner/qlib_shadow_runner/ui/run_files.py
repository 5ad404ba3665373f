"""The files of a run that the pages show; links are never followed."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import RESULTS, STDERR_FILE, STDOUT_FILE, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGS: Final = {"stdout": STDOUT_FILE, "stderr": STDERR_FILE}
"""The logs by their names in addresses."""
TYPES: Final = {
    ".json": "application/json",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
TEXT: Final = "text/plain; charset=utf-8"
"""The type of all other files, HTML too: only the report is shown as a page."""
CHUNK: Final = 1 << 18
LOG_END: Final = 1 << 16
"""Bytes of a log's end that its page shows at first."""


@dataclass(frozen=True)
class ShownFile:
    """One file of a run."""

    name: str
    size: int

    @property
    def kind(self) -> str:
        """Return the media type that a browser is told."""
        return TYPES.get(os.path.splitext(self.name)[1], TEXT)  # noqa: PTH122 - a name, not a path


@dataclass(frozen=True)
class LogPart:
    """A part of a log, and where the next part begins."""

    text: str
    next: int


def shown_files(folder: Path) -> list[ShownFile]:
    """Return the files in the run folder, its tables and the results of its stages; nothing hidden."""
    return [file for name in ("", TABLES, RESULTS) for file in _regular(folder / name, name and f"{name}/")]


def _regular(folder: Path, prefix: str) -> Iterator[ShownFile]:
    try:
        paths = [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir())
    except OSError:  # this user may not read it
        return
    for path in paths:
        try:
            status = path.lstat()
        except OSError:  # the run has just removed it
            continue
        if stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
            yield ShownFile(prefix + path.name, status.st_size)


def open_file(path: Path) -> tuple[int, int] | None:
    """Return a descriptor and the size of a regular file; None for anything else."""
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
    """Yield this many bytes of a file, or fewer where it ends before."""
    while size > 0 and (data := os.read(descriptor, min(CHUNK, size))):
        size -= len(data)
        yield data


def read_log(path: Path, begin: int | None) -> LogPart:
    """Return a log from a position on: without one its end, and its start if it is now shorter than that."""
    opened = open_file(path)
    if opened is None:
        return LogPart("", 0)
    descriptor, size = opened
    try:
        if begin is None:
            begin = _line_start(descriptor, max(0, size - LOG_END))
        elif begin > size:
            begin = 0
        data = os.pread(descriptor, CHUNK, begin)
    finally:
        os.close(descriptor)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data)
    return LogPart(text, begin + len(data) - len(decoder.getstate()[0]))


def _line_start(descriptor: int, begin: int) -> int:
    """Return the start of the next line, if it is near."""
    if begin == 0:
        return 0
    found = os.pread(descriptor, LOG_END, begin).find(b"\n")
    return begin if found < 0 else begin + found + 1
