"""The files of a run that the pages show; links are never followed."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import RESULTS, STDERR_FILE, STDOUT_FILE, TABLES
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import ARTIFACT, names_in, open_file, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

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
    return [file for part in ("", f"{TABLES}/", f"{RESULTS}/") for file in _regular(folder, part)]


def _regular(folder: Path, prefix: str) -> Iterator[ShownFile]:
    try:
        names = names_in(folder, prefix.rstrip("/"))
    except OSError:  # this user may not read it, or it is no folder
        return
    for name in names:
        try:
            status = status_of(folder, prefix + name)
        except (OSError, UnsafeNameError):  # the run has just removed it, or no page could link to it
            continue
        if stat.S_ISREG(status.st_mode) and not name.startswith("."):
            yield ShownFile(prefix + name, status.st_size)


def open_shown(folder: Path, name: str) -> BinaryIO | None:
    """Return a file of a run, opened; None for anything but a regular file in it."""
    try:
        return open_file(folder.parent, f"{folder.name}/{name}", ARTIFACT)
    except (OSError, UnsafeNameError):
        return None


def content(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield this many bytes of a file, or fewer where it ends before."""
    while size > 0 and (data := os.read(descriptor, min(CHUNK, size))):
        size -= len(data)
        yield data


def read_log(folder: Path, name: str, begin: int | None) -> LogPart:
    """Return a log from a position on: without one its end, and its start if it is now shorter than that."""
    stream = open_shown(folder, name)
    if stream is None:
        return LogPart("", 0)
    with stream:
        descriptor = stream.fileno()
        size = os.fstat(descriptor).st_size
        if begin is None:
            begin = _line_start(descriptor, max(0, size - LOG_END))
        elif begin > size:
            begin = 0
        data = os.pread(descriptor, CHUNK, begin)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data)
    return LogPart(text, begin + len(data) - len(decoder.getstate()[0]))


def _line_start(descriptor: int, begin: int) -> int:
    """Return the start of the next line, if it is near."""
    if begin == 0:
        return 0
    found = os.pread(descriptor, LOG_END, begin).find(b"\n")
    return begin if found < 0 else begin + found + 1
