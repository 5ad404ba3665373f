"""The kinds of values that a book's files hold: each with a range, so that no calculation with it fails.

A forged entry may hold any value. One in its range may be wrong, which `check` finds; no product, quotient or
date that a night makes of some of them overflows.
"""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 - its name is looked up where forms are read
from dataclasses import dataclass
from typing import Any, Final

from qlib_shadow_runner.contract.spec.ledger import DECIDE_BEFORE
from qlib_shadow_runner.runs import values

MOST: Final = 1e30
"""Of any number, so that no product of some of them is infinite."""
MOST_WHOLE: Final = 1 << 53
"""Of any whole number: those up to it are floats as well."""
MOST_TEXT: Final = 1 << 20


@dataclass(frozen=True)
class Kind:
    """What a value has to be."""

    words: str
    """As a fault says it: "a date"."""
    fits: Callable[[object], bool]


def is_number(value: object) -> bool:
    """Return whether a value is a finite number that is not too large; true and false are none."""
    return type(value) in (int, float) and -MOST <= value <= MOST  # type: ignore[operator]


def is_whole_number(value: object) -> bool:
    """Return whether a value is a whole number that is not too large."""
    return type(value) is int and abs(value) <= MOST_WHOLE


def is_text(value: object) -> bool:
    """Return whether a value is a text that is not too long."""
    return type(value) is str and len(value) <= MOST_TEXT


def whole(least: int, most: int) -> Kind:
    """Return whole numbers of a range."""
    return Kind(
        f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most
    )


def number(least: float, most: float) -> Kind:
    """Return numbers of a range."""
    return Kind(
        f"a number from {least:g} to {most:g}",
        lambda value: is_number(value) and least <= value <= most,  # type: ignore[operator]
    )


def one_of(*words: str) -> Kind:
    """Return some words."""
    return Kind(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


def matching(pattern: str, words: str) -> Kind:
    """Return texts of a pattern."""
    return Kind(words, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def or_none(kind: Kind) -> Kind:
    """Return the same or null."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.fits(value))


def either(first: Kind, second: Kind) -> Kind:
    """Return the values of two kinds."""
    return Kind(f"{first.words}, or {second.words}", lambda value: first.fits(value) or second.fits(value))


def with_keys(*names: str) -> Kind:
    """Return objects of plain values that have some keys."""

    def fits(value: object) -> bool:
        if not isinstance(value, dict) or not value.keys() >= set(names):
            return False
        return all(
            one is None or type(one) is bool or is_text(one) or is_number(one) for one in value.values()
        )

    return Kind(f"an object of plain values with {', '.join(names)}", fits)


def _is_day(value: object) -> bool:
    return type(value) is str and values.day(value) is not None and value == str(values.day(value))


def _is_moment(value: object) -> bool:
    found = values.moment(value) if isinstance(value, str) and value.endswith("Z") else None
    return found is not None and values.day(str(found.date())) is not None


def _is_amount(value: object) -> bool:
    return is_number(value) and (value == 0 or abs(value) >= 1 / MOST)  # type: ignore[arg-type]


NUMBER: Final = Kind(f"a number of at most {MOST:g}", is_number)
WHOLE: Final = Kind("a whole number", is_whole_number)
TEXT: Final = Kind("a text", is_text)
FLAG: Final = Kind("true or false", lambda value: type(value) is bool)
NULL: Final = Kind("null", lambda value: value is None)
AMOUNT: Final = Kind(f"a number of at most {MOST:g} that is 0 or not next to it", _is_amount)
"""By which others are divided."""
POSITIVE: Final = Kind(
    "a number above 0",
    lambda value: is_number(value) and value > 1 / MOST,  # type: ignore[operator]
)
DAY: Final = Kind("a date", _is_day)
DAY_OR_EMPTY: Final = Kind("a date or an empty text", lambda value: value == "" or _is_day(value))
MOMENT: Final = Kind("a time in UTC", _is_moment)
SHA256: Final = matching("[0-9a-f]{64}", "a SHA-256")
DEADLINE: Final = matching(DECIDE_BEFORE, 'a time of day and its time zone, such as "09:00 America/New_York"')
EXCHANGE: Final = matching("[A-Z0-9_]{1,16}", "the code of an exchange")
PLAIN: Final[dict[Any, Kind]] = {int: WHOLE, float: NUMBER, bool: FLAG, str: TEXT, type(None): NULL}
"""What Python's own types stand for."""
