"""Read a tar file block by block to its very end, and refuse what is not whole.

Python's `tarfile` takes a header that is damaged or cut for the end of the archive, and reads a header's own
data, such as a long name, into memory whatever its size. Here only `TarInfo.frombuf` is used, which reads one
block and compares its checksum; the blocks that follow a header are read here, within limits.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.archive.members import Member, refuse_kind, safe_parts

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(BLOCK)
CHUNK: Final = 1 << 20
LONGEST_HEADER: Final = 1 << 20
"""The most bytes of a header's own data: a name has at most 4 KiB, what a Mac adds to it some more."""
MOST_HEADERS: Final = 100
"""The most headers before a file's own one; there are four kinds."""
REGULAR: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
RECORDS: Final = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})
LONG: Final = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
RECORD: Final = re.compile(rb"([0-9]{1,7}) ([^=]+)=")
SPARSE: Final = b"GNU.sparse"
KINDS: Final = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link"}
MARK: Final = slice(257, 262)
"""The bytes that say "ustar", in all but the oldest tar files."""


class NotTarError(ValueError):
    """A file that does not begin as a tar file does."""


@dataclass
class _Extended:
    """What the headers before a file's own one say about it."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False


class TarStream:
    """The regular files of a tar file, read once from its beginning; any damage raises a ValueError."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._begun = False
        self._left = 0
        """The bytes of the current file that have not been read."""

    def members(self) -> Iterator[Member]:
        """Yield each regular file, whose content can be read until the next step."""
        while (found := self._next_header()) is not None:
            info, extended = found
            name = info.name if extended.name is None else extended.name
            size = info.size if extended.size is None else extended.size
            parts = safe_parts(name)
            if info.isdir():
                continue
            if extended.sparse or info.type == tarfile.GNUTYPE_SPARSE:
                raise refuse_kind(name, "a sparse file (pack it without --sparse)")
            if info.type not in REGULAR:
                raise refuse_kind(name, KINDS.get(info.type, "a special file"))
            self._left = size
            if parts:
                yield Member(parts, size)
            while self.read(CHUNK):
                pass
            self._exactly(-size % BLOCK, "after a file")

    def read(self, most: int) -> bytes:
        """Return the next bytes of the current file."""
        found = self._exactly(min(most, self._left), "inside of a file")
        self._left -= len(found)
        return found

    def _next_header(self) -> tuple[tarfile.TarInfo, _Extended] | None:
        """Return the next header of a file, link or folder; None at a complete end of the archive."""
        extended = _Extended()
        for _ in range(MOST_HEADERS):
            block = self._stream.read(BLOCK)
            if block == END:
                self._check_end()
                return None
            info = _header(block, first=not self._begun)
            self._begun = True
            if info.type not in RECORDS | LONG:
                return info, extended
            content = self._own_data(info)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                extended.name = _text(content.partition(b"\0")[0])
            elif info.type in RECORDS:
                _apply(content, extended, of_all=info.type == tarfile.XGLTYPE)
        raise ValueError(f"one file has more than {MOST_HEADERS} headers")

    def _own_data(self, info: tarfile.TarInfo) -> bytes:
        if info.size > LONGEST_HEADER:
            raise ValueError(f"a header has {info.size:,} bytes, more than any name")
        return self._exactly(info.size + -info.size % BLOCK, "inside of a header")[: info.size]

    def _check_end(self) -> None:
        """Refuse an end that is not complete, or after which something else than zeros follows."""
        if self._exactly(BLOCK, "inside of its end") != END:
            raise ValueError("it has an end in its middle")
        while chunk := self._stream.read(CHUNK):
            if chunk.strip(b"\0"):
                raise ValueError("something else follows its end")

    def _exactly(self, size: int, where: str) -> bytes:
        found = self._stream.read(size)
        if len(found) != size:
            raise EOFError(f"it was cut short {where}")
        return found


def _header(block: bytes, *, first: bool) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if first and block[MARK] != b"ustar":
            raise NotTarError from error
        raise ValueError(f"it was cut short, or a header is damaged: {error}") from error
    if info.size < 0:
        raise ValueError("a header has a size below zero")
    return info


def _apply(content: bytes, extended: _Extended, *, of_all: bool) -> None:
    """Apply the records `length name=value` that a file's name and size need; the others are left out."""
    place = 0
    while place < len(content):
        found = RECORD.match(content, place)
        end = place + int(found[1]) if found else 0
        if found is None or not found.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise ValueError("a header's records are damaged")
        _apply_one(found[2], content[found.end() : end - 1], extended, of_all=of_all)
        place = end


def _apply_one(name: bytes, value: bytes, extended: _Extended, *, of_all: bool) -> None:
    sparse = name.startswith(SPARSE)
    if of_all and (sparse or name in {b"path", b"size"}):
        raise ValueError(f"a header for all files holds {_text(name)}")
    if sparse:
        extended.sparse = True
    elif name == b"path":
        extended.name = _text(value)
    elif name == b"size":
        if not value.isdigit() or len(value) > len(str(1 << 63)):
            raise ValueError("a header has a size that is not a number")
        extended.size = int(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
