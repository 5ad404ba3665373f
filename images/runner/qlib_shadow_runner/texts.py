"""Parts of sentences for users: the nearest known name, figures, sizes."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeGuard

from qlib_shadow_runner.contract.escapes import in_one_line, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable


LISTED: Final = 50
"""Names that a sentence lists."""
WORD_MAX: Final = 300
"""Characters of a word that is compared with names; comparing takes long for a longer one."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the closest known name, ignoring case, or None."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word[:WORD_MAX].lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?`, or the list of known names when none is close."""
    names = sorted(known)
    found = nearest(word, names)
    if found is not None:
        return f'did you mean "{found}"?'
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return "known here: " + ", ".join(names[:LISTED]) + more


def and_then(sentence: str, more: str) -> str:
    """Return both joined: as two sentences where the first is a question, else by a semicolon."""
    return f"{sentence} {more[0].upper()}{more[1:]}" if sentence.endswith("?") else f"{sentence}; {more}"


def ended(sentence: str) -> str:
    """Return the sentence with a full stop, unless it is a question."""
    return sentence if sentence.endswith("?") else f"{sentence.rstrip('.')}."


def in_words(error: Exception) -> str:
    """Return what an error of Python says; of a number with thousands of digits, that there are too many."""
    said = str(error) or type(error).__name__
    return "a whole number in it has too many digits" if "integer string conversion" in said else said


def one_line(text: object, most: int = 300) -> str:
    """Return what others wrote as part of a line, with escapes; the middle of a long text is cut."""
    return in_one_line(shorten(str(text), most))


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
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # which NaN is not


def with_minus(text: str) -> str:
    """Replace the hyphen by a minus sign, and remove the sign of a rounded zero."""
    return text.replace("-", MINUS) if re.search("[1-9]", text) else text.lstrip("+-")


KIB: Final = 1024


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
