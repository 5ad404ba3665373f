"""Read a compressed file to its very end: every part of it, with its checksum and its length.

Python's own readers of bz2 and xz take bytes that they cannot read after the first part for the end of the
file, so that a damaged file looks whole and is only shorter. Here a file ends where its last part ends: after
that only zeros may follow, which some tools write as padding.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INPUT: Final = 1 << 18
OUTPUT: Final = 1 << 20
XZ_MEMORY: Final = 256 << 20
"""The most memory for unpacking xz, which its author chooses: `xz -9` takes 65 MiB, the most is 4 GiB."""
MOST_TIMES: Final = 200
"""How many times its size a file may unpack to: datasets and prices reach about 10, repeated bytes 1,000."""
ALWAYS_ALLOWED: Final = 256 << 20
"""The size up to which the file's own size does not matter, so that small files may repeat themselves."""


class TooLarge(Exception):  # noqa: N818 - it is a finding about a file, and its reader words the error
    """A file that unpacks to too much, or needs too much memory for it, as a sentence."""


FAULTS: Final = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, TooLarge)
"""What reading a damaged file raises."""


class Part(Protocol):
    """The decompressor of one part of a file, as bz2 and lzma have it."""

    @property
    def eof(self) -> bool:
        """Whether the part has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether it has nothing more without further input."""

    @property
    def unused_data(self) -> bytes:
        """The bytes after the part's end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most so many bytes; the rest of the input is kept."""


class _GzipPart:
    """One member of a gzip file; zlib compares its checksum and its length."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # A full answer may have a rest inside, even where all of the input is consumed.
        self.needs_input = not self._inner.unconsumed_tail and len(found) < max_length
        return found


GZIP: Final = b"\x1f\x8b"
PARTS: Final[Mapping[bytes, Callable[[], Part]]] = {
    GZIP: _GzipPart,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
}
"""The decompressor for the first bytes of a file."""


class Compressed(io.RawIOBase):
    """The unpacked bytes of a file; `most` is the most that it may unpack to."""

    def __init__(self, packed: io.BufferedIOBase, begins: bytes, most: int) -> None:
        self._packed = packed
        self._begins = begins
        self._most = most
        self._size = 0
        self._waiting = b""
        self._part: Part | None = None

    def readable(self) -> bool:
        """Return whether the file can be read, which it can."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; return 0 only after the end of the last part."""
        while self._part is not None or self._begin():
            found = self._read(len(buffer))
            if found:
                self._size += len(found)
                if self._size > self._most:
                    raise unpacks_to_too_much(self._most)
                buffer[: len(found)] = found
                return len(found)
        return 0

    def close(self) -> None:
        """Close the packed file, too."""
        self._packed.close()
        super().close()

    def _begin(self) -> bool:
        """Begin the next part; return whether there is one."""
        self._waiting = self._waiting.lstrip(b"\0")
        while len(self._waiting) < len(self._begins) and (more := self._packed.read(INPUT)):
            self._waiting = (self._waiting + more).lstrip(b"\0")
        if not self._waiting:
            return False
        if not self._waiting.startswith(self._begins):
            found = (
                "something else follows its end" if self._size else "it is not compressed as its name says"
            )
            raise ValueError(found)
        self._part = PARTS[self._begins]()
        return True

    def _read(self, most: int) -> bytes:
        """Return the next bytes of this part; none where it has ended."""
        part = self._part
        assert part is not None, "it has begun"
        while not part.eof:
            if part.needs_input and not self._waiting:
                self._waiting = self._packed.read(INPUT)
                if not self._waiting:
                    raise EOFError("it ends too early")
            try:
                found = part.decompress(self._waiting, most)
            except lzma.LZMAError as error:
                if "emory" in str(error):
                    raise TooLarge(
                        f"it needs more than {format_size(XZ_MEMORY)} of memory. Pack it with xz -9 or less."
                    ) from error
                raise
            self._waiting = b""
            if found:
                return found
        self._waiting, self._part = part.unused_data, None
        return b""


def most_unpacked(packed: int) -> int:
    """Return how much a file of this size may unpack to."""
    return max(ALWAYS_ALLOWED, MOST_TIMES * packed)


def unpacks_to_too_much(most: int) -> TooLarge:
    """Return the finding about a file that may unpack to this size and does to a larger one."""
    return TooLarge(
        f"it unpacks to more than {format_size(most)}, over {MOST_TIMES} times its size, as no data does."
    )


def kind_of_compression(start: bytes) -> bytes | None:
    """Return the bytes with which the compression of a file begins, or None where it is not compressed."""
    return next((begins for begins in PARTS if start.startswith(begins)), None)


def unpacked(packed: io.BufferedIOBase, begins: bytes, size: int) -> io.BufferedReader:
    """Return the unpacked bytes of an open file of this size, buffered."""
    return io.BufferedReader(Compressed(packed, begins, most_unpacked(size)), OUTPUT)
