"""The dataset's binary files, read as Qlib reads them, for all instruments at once.

A file is float32: the position in the calendar of its first value, then the values. A missing file is a field
without days. A file of another form makes its instrument irregular, and Qlib handles it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, FLOAT_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from qlib_shadow_runner.engine.layout import Layout, Layouts, Whole

    Values = npt.NDArray[np.float32]

NOTHING: Final = np.empty(0, np.float32)


class Bins:
    """The fields of some instruments; each is read once, when it is first needed."""

    def __init__(self, root: Path, folders: Sequence[str], layouts: Layouts) -> None:
        self._features, self._folders, self._layouts = root / "features", folders, layouts
        self._fields: dict[str, _Field] = {}
        self._lock = threading.Lock()
        self.irregular: set[int] = set()

    def layout(self, name: str, first: int, last: int) -> Layout:
        """Return the layout of a field between two days of the calendar, both included."""
        field = self._field(name)
        return self._layouts.of(np.maximum(field.starts, first), np.minimum(field.ends, last + 1))

    def values(self, name: str, layout: Layout) -> Values:
        """Return a field's values on a layout that `layout` returned for it."""
        field = self._field(name)
        parts = [
            values[first - start : end - start]
            for values, start, first, end in zip(
                field.values, field.starts, layout.first, layout.end, strict=True
            )
            if first < end
        ]
        return np.concatenate(parts) if parts else NOTHING

    def ends(self, name: str) -> Whole:
        """Return the day after each instrument's last one."""
        return self._field(name).ends

    def contents(self, name: str) -> list[bytes]:
        """Return the bytes of a field's files; empty bytes for a missing file."""
        return self._field(name).contents

    def _field(self, name: str) -> _Field:
        with self._lock:
            if name not in self._fields:
                self._fields[name] = self._read(name)
            return self._fields[name]

    def _read(self, name: str) -> _Field:
        paths = (self._features / folder / f"{name}{BIN_SUFFIX}" for folder in self._folders)
        contents = [_content(path) for path in paths]
        found = [self._values(number, content) for number, content in enumerate(contents)]
        starts, values = np.array([start for start, _ in found], np.int64), [one for _, one in found]
        return _Field(starts, values, [content or b"" for content in contents])

    def _values(self, number: int, content: bytes | None) -> tuple[int, Values]:
        if content is None:
            return 0, NOTHING
        if len(content) < FLOAT_BYTES or len(content) % FLOAT_BYTES:
            self.irregular.add(number)
            return 0, NOTHING
        found = np.frombuffer(content, "<f4")
        if not np.isfinite(found[0]) or found[0] < 0:
            self.irregular.add(number)
            return 0, NOTHING
        return int(found[0]), found[1:]


class _Field:
    def __init__(self, starts: Whole, values: list[Values], contents: list[bytes]) -> None:
        self.starts, self.values, self.contents = starts, values, contents
        self.ends = starts + np.array([len(one) for one in values], np.int64)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
