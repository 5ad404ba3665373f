r"""Texts of strangers, written so that a reader sees every character and a terminal obeys none of them.

A name in an archive or a message of a server may hold characters that move a cursor, reverse the order
of reading (bidi marks) or are not seen at all. A text that leaves runner or operator has escapes, such
as \x1b and \u202e. Letters, marks, digits, signs and spaces of every script stay as they are. A text that was
escaped before does not change again.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Final

SPACES: Final = "Zs"
"""Unicode's category of spaces, such as the one between words in Chinese; all have a width."""
SIGNS: Final = frozenset(
    map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD))
)
"""Signs before a number, in Arabic, Syriac and Kaithi: Unicode's only format characters that are seen."""
WORD_MAX: Final = 250
"""Characters of a word in a sentence; most paths are shorter."""
WORD_HEAD, WORD_TAIL = 100, 30
"""What is left of a longer word, such as a number of five thousand digits."""
SENTENCE_MAX: Final = 2_000


def in_one_line(text: str) -> str:
    """Return the text in one line: line breaks and tabs are escapes too."""
    return _escaped(text, "")


def in_lines(text: str, kept: str = "\t") -> str:
    """Return a text of several lines, which keeps its line breaks and tabs."""
    return "\n".join(_escaped(line, kept) for line in text.split("\n"))


def in_json(text: str) -> str:
    """Return JSON in which such characters are JSON's escapes; they can only be inside of its strings."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter == "\n" or _is_seen(letter) else json.dumps(letter)[1:-1] for letter in text
    )


def in_a_sentence(text: str) -> str:
    """Return a sentence in one line; an overlong word in it is cut, and so is an overlong sentence."""
    words = (
        word if len(word) <= WORD_MAX else f"{word[:WORD_HEAD]}…{word[-WORD_TAIL:]}"
        for word in in_one_line(text).split(" ")
    )
    return shorten(" ".join(words), SENTENCE_MAX)


def shorten(text: str, limit: int) -> str:
    """Cut the middle of a text that is too long: the cause comes first, the remedy last."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter in kept or _is_seen(letter) else repr(letter)[1:-1] for letter in text)


def _is_seen(letter: str) -> bool:
    return letter.isprintable() or letter in SIGNS or unicodedata.category(letter) == SPACES
