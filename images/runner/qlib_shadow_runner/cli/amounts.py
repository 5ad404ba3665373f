"""Parse the numbers and sizes that options take."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
DAYS: Final = re.compile(r"\d{1,6}(?:\.\d{1,9})?", re.ASCII)
DURATION: Final = re.compile(r"([1-9]\d{0,6})(s|m|h|d)?", re.ASCII)
LONGEST: Final = 30 * 86_400
"""As in the spec."""
SECONDS: Final = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
NONE: Final = "none"
COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)


def count(text: str | None, option: str) -> int | None:
    """Return a whole number; None where the option is not given."""
    if text is None:
        return None
    if not COUNT.fullmatch(text):
        raise StageError(Reason.INVALID_SPEC, f'{option} must be a whole number from 0 on, not "{text}"')
    return int(text)


def days(text: str | None, option: str) -> timedelta | None:
    """Return a number of days; None where the option is not given."""
    if text is None:
        return None
    if not DAYS.fullmatch(text):
        raise StageError(Reason.INVALID_SPEC, f'{option} must be a number of days from 0 on, not "{text}"')
    return timedelta(days=float(text))


def size(text: str | None, option: str) -> int | None:
    """Return a size in bytes, whose units are powers of 1024; None where the option is not given."""
    if text is None:
        return None
    found = SIZE.fullmatch(text)
    if not found:
        raise StageError(Reason.INVALID_SPEC, f'{option} must be a size such as 500M or 10G, not "{text}"')
    return int(float(found[1]) * UNITS[found[2].upper()])


def duration(text: str, option: str) -> int | None:
    """Return a number of seconds; None where there is to be no limit."""
    if text == NONE:
        return None
    found = DURATION.fullmatch(text)
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= LONGEST:
        raise StageError(
            Reason.INVALID_SPEC,
            f'{option} must be a time of at most 30d, such as 90s, 45m or 8h, or {NONE}, not "{text}"',
        )
    return seconds
