"""The answer of the child that reads pickles: columns, in bytes that need no decoder of their own.

    the buffers of all columns, one after the other
    a JSON object: the columns of each table, and what is wrong with each file
    the length of that object, in eight bytes

A column is `{"values": part}`, `{"codes": part, "of": column}`, `{"texts": [...]}` or `{"numbers": [...]}`. A
part names its place among the buffers, its type, and which of the values there are the column's.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

FORMATS: Final[Mapping[str, str]] = {
    "<f8": "d", "<f4": "f", "<i8": "q", "<i4": "i", "<i2": "h", "|i1": "b",
    "<u8": "Q", "<u4": "I", "<u2": "H", "|u1": "B", "|b1": "?",
}  # fmt: skip
"""The types of numbers that a column may have, as NumPy names them, and as struct does."""
UNITS: Final[Mapping[str, int]] = {
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400_000_000,
    "ns": 86_400_000_000_000,
}
"""The units of times, and how many of them are a day."""
TIMES: Final[Mapping[str, str]] = {f"<M8[{unit}]": unit for unit in UNITS}
LENGTH: Final = 8
NO_NAME: Final = -1
"""The code of a row without a name."""


class Part(NamedTuple):
    """Some of the values of a buffer: every `step`th of them from `start` on."""

    data: bytes
    dtype: str
    start: int
    step: int
    length: int


class Coded(NamedTuple):
    """A column whose values are listed once and named by number."""

    codes: Part
    of: Column


if TYPE_CHECKING:
    Column = Part | Coded | Sequence[str] | Sequence[float]


class Answer:
    """The answer as far as it is known."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.tables: dict[str, list[tuple[str, object]]] = {}
        self.faults: dict[str, str] = {}
        self._buffers: list[bytes] = []
        self._size = 0

    def add(self, name: str, columns: Sequence[tuple[str, Column]]) -> None:
        """Add a table; a buffer that several columns share is written once."""
        places: list[tuple[bytes, int]] = []
        self.tables[name] = [(column, self._describe(content, places)) for column, content in columns]

    def finish(self) -> None:
        """Write all of it."""
        for buffer in self._buffers:
            self.stream.write(buffer)
        header = {"tables": self.tables, "faults": self.faults}
        content = json.dumps(header).encode()
        self.stream.write(content + len(content).to_bytes(LENGTH, "little"))
        self.stream.flush()

    def _describe(self, content: Column, places: list[tuple[bytes, int]]) -> object:
        if isinstance(content, Coded):
            return {"codes": self._part(content.codes, places), "of": self._describe(content.of, places)}
        if isinstance(content, Part):
            return {"values": self._part(content, places)}
        return {"texts" if content and isinstance(content[0], str) else "numbers": content}

    def _part(self, part: Part, places: list[tuple[bytes, int]]) -> Mapping[str, object]:
        at = next((place for data, place in places if data is part.data), None)
        if at is None:
            at = self._size
            places.append((part.data, at))
            self._buffers.append(part.data)
            self._size += len(part.data)
        return {
            "at": at, "size": len(part.data), "dtype": part.dtype,
            "start": part.start, "step": part.step, "length": part.length,
        }  # fmt: skip


def packed(code: str, values: Sequence[float]) -> Part:
    """Return a column of numbers, as doubles (d) or whole numbers (i)."""
    dtype = {"d": "<f8", "i": "<i4"}[code]
    return Part(struct.pack(f"<{len(values)}{code}", *values), dtype, 0, 1, len(values))


def split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON object and the buffers of an answer; raise ValueError where it is none."""
    length = int.from_bytes(content[-LENGTH:], "little")
    end = len(content) - LENGTH - length
    if end < 0:
        raise ValueError("it is shorter than it says")
    header = json.loads(content[end:-LENGTH])
    if not isinstance(header, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - as with every other fault of an answer
    return header, memoryview(content)[:end]
