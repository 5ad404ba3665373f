"""Check the end of a zip file before Python's `zipfile` reads its directory.

`zipfile` takes the last thing that looks like an end, whatever stands before and after it, reads the
directory into memory whatever its size, and does not compare how many files it lists.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.compressed import TooLarge
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from typing import BinaryIO

STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins: with a file, or, where it holds none, with its end."""
END: Final = struct.Struct("<4s4H2LH")
END_MARK: Final = b"PK\x05\x06"
END_64: Final = struct.Struct("<4sQ2H2L4Q")
END_64_MARK: Final = b"PK\x06\x06"
LOCATOR_64: Final = struct.Struct("<4sLQL")
LOCATOR_64_MARK: Final = b"PK\x06\x07"
LONGEST_COMMENT: Final = 0xFFFF
LARGEST_DIRECTORY: Final = 64 << 20
"""The most bytes of a directory: about 600,000 files, for which `zipfile` needs half a gigabyte of memory."""


def check_end(stream: BinaryIO) -> int:
    """Return how many files the directory has; raise a ValueError where the archive is not one whole zip."""
    place, fields = _find_end(stream)
    _, disk, first_disk, here, entries, size, offset, _ = fields
    if (found := _end_64(stream, place)) is not None:
        place, (_, _, _, _, disk, first_disk, here, entries, size, offset) = found
    if disk or first_disk or here != entries:
        raise ValueError("it is one of several parts")
    if size > LARGEST_DIRECTORY:
        most = format_size(LARGEST_DIRECTORY)
        raise TooLarge(f"its list of files has {format_size(size)}, and at most {most} is read.")
    if offset + size != place:
        raise ValueError("its list of files is not where its end says")
    return int(entries)


def _find_end(stream: BinaryIO) -> tuple[int, tuple[int, ...]]:
    """Return the place of the end's record and its fields; after it only its comment and zeros may follow.

    The last record is taken, as `zipfile` does, so that both read the same directory.
    """
    size = stream.seek(0, 2)
    start = max(0, size - END.size - LONGEST_COMMENT)
    stream.seek(start)
    tail = stream.read()
    last = len(tail) - END.size
    bare = tail[max(0, last) :].startswith(END_MARK) and tail.endswith(b"\0\0")
    place = last if bare else tail.rfind(END_MARK, 0, last + len(END_MARK))
    if place >= 0:
        fields = END.unpack_from(tail, place)
        after = tail[place + END.size :]
        if len(after) >= fields[-1] and not after[fields[-1] :].strip(b"\0"):
            return start + place, fields
    raise EOFError("a zip without its end: it was cut short, or something follows its end")


def _end_64(stream: BinaryIO, place: int) -> tuple[int, tuple[int, ...]] | None:
    """Return the place and the fields of the larger record that large archives have as well."""
    if place < LOCATOR_64.size:
        return None
    stream.seek(place - LOCATOR_64.size)
    mark, _, offset, _ = LOCATOR_64.unpack(stream.read(LOCATOR_64.size))
    if mark != LOCATOR_64_MARK:
        return None
    if offset + END_64.size + LOCATOR_64.size != place:
        raise ValueError("its end is damaged")
    stream.seek(offset)
    fields = END_64.unpack(stream.read(END_64.size))
    if fields[0] != END_64_MARK:
        raise ValueError("its end is damaged")
    return offset, fields
