"""Reading what Qlib pickled without Qlib, and without running what a pickle asks for.

Arrays, tables and dates come back as they are. An object of any other class becomes an Opaque, of which only
the state is kept: that is enough for positions and for the text of a trained model, and takes milliseconds
where importing Qlib takes seconds.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED: Final = ("numpy", "pandas", "collections", "datetime")
"""Packages whose classes are made; they hold data."""


class Opaque:
    """An object of a class that is not loaded."""

    def __init__(self, *_: object, **__: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in TRUSTED:
            return super().find_class(module, name)
        return Opaque


def read_opaquely(path: Path) -> Any:
    """Read a pickle."""
    with path.open("rb") as stream:
        return _Unpickler(stream).load()
