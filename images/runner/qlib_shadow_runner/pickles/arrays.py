"""Arrays, numbers, texts and times as NumPy, Arrow and pandas pickle them."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qlib_shadow_runner.pickles.answer import FORMATS, TIMES, UNITS
from qlib_shadow_runner.pickles.nodes import (
    Made,
    Unrecognised,
    arguments_of,
    described,
    is_made_by,
    is_named,
    state_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _either(*paths: str) -> frozenset[str]:
    """Return the full names, also as in NumPy 1."""
    return frozenset(paths) | {path.replace("numpy._core", "numpy.core") for path in paths}


RECONSTRUCT: Final = _either("numpy._core.multiarray._reconstruct")
FROM_BUFFER: Final = _either("numpy._core.numeric._frombuffer")
SCALAR: Final = _either("numpy._core.multiarray.scalar")
NDARRAY: Final = _either("numpy.ndarray")
DTYPE: Final = _either("numpy.dtype")
CODEC: Final = frozenset({"_codecs.encode"})
BYTES: Final = frozenset(
    {"builtins.bytearray", "__builtin__.bytearray", "builtins.bytes", "__builtin__.bytes"}
)
TIMESTAMP: Final = frozenset({"pandas._libs.tslibs.timestamps._unpickle_timestamp"})
ARROW_TEXTS: Final = frozenset(
    {
        "pandas.arrays.ArrowStringArray",
        "pandas.core.arrays.string_arrow.ArrowStringArray",
        "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
    }
)
ARROW_ARRAY: Final = frozenset({"pyarrow.lib._restore_array"})
ARROW_CHUNKS: Final = frozenset({"pyarrow.lib.chunked_array"})
ARROW_BUFFER: Final = frozenset({"pyarrow.lib.py_buffer"})
ARROW_TYPE: Final = frozenset({"pyarrow.lib.type_for_alias"})
RESOLUTIONS: Final[Mapping[int, str]] = {7: "s", 8: "ms", 9: "us", 10: "ns"}
"""The numbers by which pandas knows the units."""
OBJECTS: Final = "|O8"
SIZES: Final[Mapping[str, int]] = {
    **{name: struct.calcsize(f"<{code}") for name, code in FORMATS.items()},
    **dict.fromkeys(TIMES, 8),
}
UNPACK: Final[Mapping[str, struct.Struct]] = {
    name: struct.Struct(f"<{code}") for name, code in FORMATS.items()
}
OFFSETS: Final[Mapping[str, str]] = {
    "string": "i", "utf8": "i", "large_string": "q", "large_utf8": "q"
}  # fmt: skip
"""Arrow's types of texts, and the type of their offsets."""


class Array(NamedTuple):
    """An array of numbers or times in its bytes, or one of objects in a list."""

    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    data: bytes
    objects: Sequence[Any] | None = None

    @property
    def size(self) -> int:
        """Return how many values it has."""
        return math.prod(self.shape)


def bytes_of(node: object) -> bytes:
    """Return bytes; the versions of the format before 4 have texts in their place."""
    if type(node) is bytes:
        return node
    while is_made_by(node, BYTES):
        node = next(iter(arguments_of(node, BYTES, 0)), b"")
    if is_made_by(node, CODEC):
        text, codec = arguments_of(node, CODEC, 2)[:2]
        if type(text) is str and codec == "latin1":
            try:
                return text.encode("latin1")
            except UnicodeEncodeError:
                raise Unrecognised("it holds a text where bytes were expected") from None
    if type(node) is not bytes:
        raise Unrecognised(f"it holds {described(node)}, where bytes were expected")
    return node


def dtype_of(node: object) -> str:
    """Return the type of an array's values, as NumPy names it; only those that are listed here."""
    if type(node) is Made and node.known is not None:
        return node.known
    (code,) = arguments_of(node, DTYPE, 1)[:1]
    assert type(node) is Made, "it has arguments"
    state = node.state
    order, structure = (state[1], state[2:5]) if type(state) is tuple and len(state) > 5 else (None, ())  # noqa: PLR2004
    if type(code) is not str or type(order) is not str:
        raise Unrecognised("an array has a type without a name")
    name = f"{order}{code}{_unit(state)}" if code == "M8" else f"{order}{code}"
    known = name in SIZES or name == OBJECTS
    if not known or any(part is not None for part in structure):
        raise Unrecognised(f"an array is of the type {name[:40]}, which no table has")
    node.known = name
    return name


def _unit(state: tuple[Any, ...]) -> str:
    """Return the unit of an array of times."""
    about = state[8] if len(state) > 8 else None  # noqa: PLR2004
    parts = about[1] if type(about) is tuple and len(about) == 2 else None  # noqa: PLR2004
    if type(parts) is not tuple or [type(part) for part in parts[1:]] != [int] * 3 or parts[1:] != (1, 1, 1):
        return ""
    unit = parts[0]
    return f"[{unit if type(unit) is str else bytes_of(unit).decode('ascii', 'replace')}]"


def array_of(node: object) -> Array:
    """Return an array of one or two dimensions."""
    if is_made_by(node, FROM_BUFFER):
        data, dtype, shape, order = arguments_of(node, FROM_BUFFER, 4)[:4]
        return _array(shape, dtype, data, fortran=order == "F")
    (kind,) = arguments_of(node, RECONSTRUCT, 1)[:1]
    assert type(node) is Made, "it has arguments"
    if not is_named(kind, NDARRAY) or type(node.state) is not tuple or len(node.state) != 5:  # noqa: PLR2004
        raise Unrecognised("an array lacks its values")
    _, shape, dtype, fortran, data = node.state
    return _array(shape, dtype, data, fortran=fortran is True)


def _array(shape: object, dtype: object, data: object, *, fortran: bool) -> Array:
    name = dtype_of(dtype)
    if type(shape) is not tuple or len(shape) not in (1, 2) or any(whole(length) < 0 for length in shape):
        raise Unrecognised("an array has neither one dimension nor two")
    if name == OBJECTS:
        if type(data) is not list or len(data) != math.prod(shape):
            raise Unrecognised("an array of objects has another number of them than it says")
        return Array(name, shape, fortran=False, data=b"", objects=data)
    found = bytes_of(data)
    if len(found) != math.prod(shape) * SIZES[name]:
        raise Unrecognised("an array has another number of bytes than it says")
    return Array(name, shape, fortran, found)


def number_of(node: object) -> float:
    """Return a number, Python's or NumPy's."""
    if type(node) is float:
        return node
    if type(node) is int:
        return float(whole(node))
    dtype, data = arguments_of(node, SCALAR, 2)[:2]
    unpack = UNPACK.get(dtype_of(dtype))
    found = bytes_of(data)
    if unpack is None or len(found) != unpack.size:
        raise Unrecognised("it holds a number of an unknown type")
    return float(unpack.unpack(found)[0])


def day_of(node: object) -> int:
    """Return the day of a timestamp, as days since 1970."""
    value, _, zone, *resolution = arguments_of(node, TIMESTAMP, 3)[:4]
    unit = RESOLUTIONS.get(resolution[0] if resolution and type(resolution[0]) is int else 10)
    if unit is None or zone is not None:
        raise Unrecognised("it holds a time that is no day")
    day, rest = divmod(whole(value), UNITS[unit])
    if rest:
        raise Unrecognised("it holds a time that is no day")
    return day


def arrow_texts_of(node: object) -> list[str]:
    """Return the texts of one of Arrow's arrays, or of its chunks."""
    found = state_of(node).get("_pa_array")
    if is_made_by(found, ARROW_CHUNKS):
        (chunks,) = arguments_of(found, ARROW_CHUNKS, 1)[:1]
        if type(chunks) is not list:
            raise Unrecognised("an array of texts has no chunks")
        return [text for chunk in chunks for text in _arrow_chunk(chunk)]
    return _arrow_chunk(found)


def _arrow_chunk(node: object) -> list[str]:
    (parts,) = arguments_of(node, ARROW_ARRAY, 1)[:1]
    try:
        kind, length, missing, offset, (_, offsets, letters), _, _ = parts
    except (TypeError, ValueError):
        raise Unrecognised("an array of texts lacks a part") from None
    (alias,) = arguments_of(kind, ARROW_TYPE, 1)[:1]
    code = OFFSETS.get(alias) if type(alias) is str else None
    if code is None or whole(missing) or whole(length) < 0 or whole(offset) < 0:
        raise Unrecognised("an array of texts is of another type, or lacks a text")
    return _cut(_buffer(offsets), code, _buffer(letters), offset, length)


def _buffer(node: object) -> bytes:
    """Return the bytes of one of Arrow's buffers; an array of empty texts has none."""
    return b"" if node is None else bytes_of(arguments_of(node, ARROW_BUFFER, 1)[0])


def _cut(offsets: bytes, code: str, letters: bytes, first: int, count: int) -> list[str]:
    """Return the texts between the offsets, which only rise: no letter is in two texts."""
    if count == 0:
        return []
    size = struct.calcsize(f"<{code}")
    whole_length = len(offsets) // size
    if first + count + 1 > whole_length:
        raise Unrecognised("an array of texts has fewer texts than it says")
    ends = struct.unpack_from(f"<{count + 1}{code}", offsets, first * size)
    if ends[0] < 0 or ends[-1] > len(letters) or any(a > b for a, b in pairwise(ends)):
        raise Unrecognised("an array of texts has texts that overlap")
    try:
        return [letters[a:b].decode() for a, b in pairwise(ends)]
    except UnicodeDecodeError:
        raise Unrecognised("an array of texts has one that is no text") from None
