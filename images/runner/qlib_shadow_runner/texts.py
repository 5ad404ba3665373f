"""Parts of sentences for users: the nearest known name, figures, sizes, lines in the log."""

from __future__ import annotations

import math
import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the closest known name, ignoring case, or None."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?`, or the list of known names when none is close."""
    names = sorted(known)
    found = nearest(word, names)
    if found is not None:
        return f'did you mean "{found}"?'
    return "known here: " + ", ".join(names)


def and_then(sentence: str, more: str) -> str:
    """Return both joined: as two sentences where the first is a question, else by a semicolon."""
    return f"{sentence} {more[0].upper()}{more[1:]}" if sentence.endswith("?") else f"{sentence}; {more}"


def ended(sentence: str) -> str:
    """Return the sentence with a full stop, unless it is a question."""
    return sentence if sentence.endswith("?") else f"{sentence.rstrip('.')}."


def one_line(text: object, most: int = 300) -> str:
    """Return what others wrote as part of a line: what cannot be printed is a space, and the end is cut."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text)[: most + 1])
    return line if len(line) <= most else f"{line[:most]}…"


ABSENT: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"


def figure(value: object, digits: int = 2) -> str:
    """Return a number; a missing one is a dash."""
    return ABSENT if not is_number(value) else with_minus(f"{value:.{digits}f}")


def percent(value: object, digits: int = 1) -> str:
    """Return a share in percent; a missing one is a dash."""
    return ABSENT if not is_number(value) else with_minus(f"{value * 100:.{digits}f}%")


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def with_minus(text: str) -> str:
    """Replace the hyphen by a minus sign, and remove the sign of a rounded zero."""
    return text.replace("-", MINUS) if re.search("[1-9]", text) else text.lstrip("+-")


KIB: Final = 1024


def print_line(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def format_size(size: float) -> str:
    """Return a size with its unit, such as 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < KIB:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= KIB
    return f"{size:.1f} TiB"


def format_duration(seconds: float) -> str:
    """Return a duration in its largest usual unit, such as 54 minutes."""
    for name, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {name}"
    return f"{seconds:.3g} seconds"
