"""Names of files below a folder that another program wrote, taken apart before they are joined to the folder.

A listing, a run's metadata, an archive or an address may hold any text. Joined as it is, `../../x` or `/x` is
a path outside of the folder, and a line break changes what a log says.
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PART_BYTES_MAX: Final = 255
"""What Linux allows for the name of a file."""
NAME_BYTES_MAX: Final = 1024
"""Less than the 4,096 bytes that Linux allows for a path, since the folder's own path comes before it."""
REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's control characters, half surrogates, and separators of lines and paragraphs."""
SHOWN_MAX: Final = 80


class UnsafeNameError(ValueError):
    """A text that is not the name of a file below a folder; the message is a sentence."""


def parts_of(name: object) -> tuple[str, ...]:
    """Return the parts of a relative name, or raise UnsafeNameError."""
    fault = name_fault(name)
    if fault is not None:
        raise UnsafeNameError(f"{_shown(name)} is not the name of a file below a folder: {fault}")
    return tuple(str(name).split("/"))


def inside(folder: Path, name: object) -> Path:
    """Return the path of a relative name below a folder, or raise UnsafeNameError."""
    return folder.joinpath(*parts_of(name))


def name_fault(name: object) -> str | None:
    """Return why a value is not a relative name, or None."""
    if not isinstance(name, str):
        return "it is not text"
    if any(unicodedata.category(character) in REFUSED_CATEGORIES for character in name):
        return "it holds a control character"
    parts = name.split("/")
    faults = {
        "it holds a backslash": "\\" in name,
        "it leads out of the folder": name.startswith("/") or ".." in parts,
        'it has an empty part or a "."': "" in parts or "." in parts,
        "it is too long": len(name.encode()) > NAME_BYTES_MAX
        or any(len(part.encode()) > PART_BYTES_MAX for part in parts),
    }
    return next((fault for fault, applies in faults.items() if applies), None)


def _shown(name: object) -> str:
    text = name if isinstance(name, str) else str(name)
    return json.dumps(text[:SHOWN_MAX] + ("…" if len(text) > SHOWN_MAX else ""))
