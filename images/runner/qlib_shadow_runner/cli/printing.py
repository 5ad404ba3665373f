"""Output on stdout: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

NOTHING: Final = "-"
"""What a table shows where there is no value."""


def print_json(document: object) -> None:
    """Print one JSON document; YAML's dates become strings."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(rows: Sequence[Sequence[str]], align_right: Collection[int] = ()) -> None:
    """Print rows in aligned columns; some of the columns may be aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:{'>' if place in align_right else '<'}{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def in_one_line(text: str) -> str:
    """Return the text with control characters spelled out: it cannot move the cursor or set a colour."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
