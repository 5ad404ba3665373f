"""Copies what this process and its children print to the run folder, besides the pod's log.

The files hold every byte. In the pod's log, and so on a terminal, characters that would steer it are escapes,
except a carriage return, with which bars of progress redraw their line.

The file descriptors 1 and 2 are replaced by pipes, so that the output of native code and children is copied
too. A full disk or a closed terminal never stops the work: the reader goes on reading.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import STDERR_FILE, STDOUT_FILE
from qlib_shadow_runner.contract.escapes import in_lines
from qlib_shadow_runner.storage.untrusted import LOG, open_file, open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

CHUNK: Final = 65_536
DRAIN_SECONDS: Final = 5.0
SHOWN_AS_THEY_ARE: Final = "\t\r"


@dataclass
class _Stream:
    """A descriptor that is diverted to a pipe."""

    descriptor: int
    log: int
    original: int
    allowed: Callable[[], bool]
    thread: threading.Thread | None = None

    def divert(self) -> None:
        """Replace the descriptor by a pipe, and start its reader."""
        reading, writing = os.pipe()
        os.dup2(writing, self.descriptor)
        os.close(writing)
        self.thread = threading.Thread(target=self._pump, args=(reading,), daemon=True)
        self.thread.start()

    def restore(self) -> None:
        """Restore the descriptor and wait until everything that was written has been copied."""
        os.dup2(self.original, self.descriptor)
        if self.thread is not None:
            self.thread.join(DRAIN_SECONDS)

    def _pump(self, reading: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        while chunk := os.read(reading, CHUNK):
            self.write_to_file(chunk)
            self._show(decoder.decode(chunk))
        self._show(decoder.decode(b"", final=True))  # a letter of which only the first bytes came
        os.close(reading)

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError):
            _write_all(self.original, in_lines(text, SHOWN_AS_THEY_ARE).encode())

    def write_to_file(self, content: bytes) -> None:
        """Write to the file, unless another attempt has taken the folder over."""
        with contextlib.suppress(OSError):
            if self.allowed():
                _write_all(self.log, content)


class Tee:
    """Both streams, diverted until the block ends."""

    def __init__(self, folder: Path, allowed: Callable[[], bool] = lambda: True) -> None:
        self._streams = [
            _Stream(descriptor, _open_log(folder / name), os.dup(descriptor), allowed)
            for descriptor, name in ((1, STDOUT_FILE), (2, STDERR_FILE))
        ]
        self.errors = folder / STDERR_FILE
        self.errors_begin = self.errors.stat().st_size

    def header(self, line: str) -> None:
        """Write the first line of an attempt to both files and the pod's log."""
        for stream in self._streams:
            stream.write_to_file(f"=== {line} ===\n".encode())
        with contextlib.suppress(OSError):
            _write_all(self._streams[0].original, f"=== {line} ===\n".encode())

    def write_to_log(self, text: str) -> None:
        """Write details to stderr.log alone, to which error messages refer."""
        self._streams[1].write_to_file(text.encode(errors="replace"))

    def drain(self) -> None:
        """Return when everything that was printed so far is in the files."""
        self._restore()
        self._divert()

    def error_tail(self, size: int = 16_384) -> str:
        """Return the end of this attempt's stderr.log."""
        self.drain()
        with open_file(self.errors.parent, self.errors.name, LOG) as stream:
            stream.seek(max(self.errors_begin, stream.seek(0, 2) - size))
            return stream.read().decode(errors="replace")

    def __enter__(self) -> Self:
        self._divert()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        for stream in self._streams:
            os.close(stream.log)
            os.close(stream.original)

    def _divert(self) -> None:
        for stream in self._streams:
            stream.divert()

    def _restore(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream in self._streams:
            stream.restore()


def _open_log(path: Path) -> int:
    return open_for_writing(path, os.O_WRONLY | os.O_APPEND)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
