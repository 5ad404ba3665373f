"""Numbers, dates and letters that no honest input holds, and what must be told about each."""

from __future__ import annotations

import os
import random
import re
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

DIGITS: Final = "9" * 5_000
"""Python neither reads nor writes a whole number of so many digits."""
READABLE_DIGITS: Final = "9" * 4_000
"""Python reads this one, and no float holds it."""
NUMBERS: Final = (
    DIGITS,
    f"-{DIGITS}",
    READABLE_DIGITS,
    "0x" + "f" * 5_000,
    "0o" + "7" * 5_000,
    "0" + "7" * 5_000,
    "0b" + "1" * 5_000,
    "9223372036854775808",
    "-9223372036854775809",
    "1" + "_000" * 2_000,
    ":".join(["59"] * 3_000),
    "190:20:30",
    "1e999",
    "-1e999",
    "1e-999",
    "1E400",
    f"0.{DIGITS}",
    ".inf",
    "-.inf",
    ".nan",
    "-0",
    "1.5",
    "٣",
    "²",
)
"""Numbers as YAML has them."""
DATES: Final = (
    "99999-01-01",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "2020-02-30",
    "2020-13-01",
    "2020-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31 23:59:59 -23:59",
    "2020-W01-1",
)
JSON_NUMBERS: Final = (
    DIGITS,
    f"-{DIGITS}",
    READABLE_DIGITS,
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "9223372036854775808",
    "1e308",
    "-1",
    "0.5",
    "true",
    "null",
    "[]",
    "{}",
    f'"{DIGITS}"',
    '"1e999"',
    '"\\u0000"',
    '"\\u001b[2J\\u202e"',
    "[" * 50 + "]" * 50,
    "[" * 900 + "]" * 900,
    "[" * 90_000,
)
LETTERS: Final = (
    "\x1b[2J\x1b[31m",
    "\x07",
    "\x7f",
    "\x9b31m",
    "\x08" * 8,
    "\r",
    "\nforged: all is well",
    "\r\nforged: all is well",
    "\v",
    "\f",
    "\x85",
    "\u2028forged: all is well",
    "\u2029",
    "\u202e",
    "\u202a",
    "\u2066\u2069",
    "\u061c",
    "\u200e\u200f",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\xad",
    "\U000e0041",
    "\ue000",
    "\U0010fffd",
    "\ufffe",
)
"""Control characters, bidi marks, characters without a width, separators, and unassigned code points."""
ORDINARY: Final = (
    "Zürich Ελλάς Москва شلام עברית नमस्ते ไทย 中文　日本語 한국어 e\u0301 ½ € — “x” \xa0\u202f 👍🏽 ✓ \u06dd1"
)
"""Letters, marks, digits, signs and spaces of many scripts."""
ROUNDS: Final = os.environ.get("QLIB_SHADOW_CHAOS_NUMBERS")
LONGEST: Final = 450
"""Characters of a sentence about a hostile number; the longest lists all commands."""


def some(cases: Sequence[T], usual: int) -> Sequence[T]:
    """Return some of the cases, always the same ones; in `make chaos` others, as many as a variable says."""
    count, chosen = (usual, random.Random(7)) if ROUNDS is None else (int(ROUNDS), random.Random())
    return cases if len(cases) <= count else chosen.sample(list(cases), count)


HIDDEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\uf8ff\ufeff\ufffe\U000e0000-\U000e00ff\U0010fffd]"
)


def is_seen(text: str) -> bool:
    """Return whether a terminal shows every character of a text of several lines."""
    return HIDDEN.search(text) is None
