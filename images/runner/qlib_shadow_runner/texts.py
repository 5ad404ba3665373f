"""The nearest known name for a misspelt one, as the tail of a sentence, and how to go on from there."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Find the closest known name, ignoring case."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `did you mean "x"?`, or the list of what is there when nothing is close."""
    names = sorted(known)
    found = nearest(word, names)
    if found is not None:
        return f'did you mean "{found}"?'
    return "known here: " + ", ".join(names)


def and_then(sentence: str, more: str) -> str:
    """Go on after such a tail: by a new sentence where it was a question."""
    return f"{sentence} {more[0].upper()}{more[1:]}" if sentence.endswith("?") else f"{sentence}; {more}"


def ended(sentence: str) -> str:
    """End such a sentence, unless its question has done so."""
    return sentence if sentence.endswith("?") else f"{sentence.rstrip('.')}."


KIB: Final = 1024


def print_line(line: str) -> None:
    """Write one line into the log, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def format_size(size: float) -> str:
    """Write a size as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < KIB:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= KIB
    return f"{size:.1f} TiB"
