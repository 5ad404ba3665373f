"""What a terminal would obey or hide is written as an escape; every ordinary text stays as it is."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runner.hostile.hostile_values import DIGITS, LETTERS, ORDINARY, is_seen

from qlib_shadow_runner.contract.escapes import (
    SENTENCE_MAX,
    in_a_sentence,
    in_json,
    in_lines,
    in_one_line,
    shorten,
)

ROUNDS: Final = int(os.environ.get("QLIB_SHADOW_CHAOS_NUMBERS", "60"))
ESCAPES: Final = {
    "\x1b[2J": r"\x1b[2J",
    "\x7f": r"\x7f",
    "\x9b31m": r"\x9b31m",
    "a\nb\tc\rd": r"a\nb\tc\rd",
    "\u2028\u2029\x85": r"\u2028\u2029\x85",
    "\u202eabc\u202c": r"\u202eabc\u202c",
    "\u2066\u061c\u200e\u200b\u200d\ufeff\xad": r"\u2066\u061c\u200e\u200b\u200d\ufeff\xad",
    "\udcff": r"\udcff",
    "\ue000\U000e0041\ufffe": r"\ue000\U000e0041\ufffe",
}
HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(("text", "shown"), ESCAPES.items(), ids=ascii)
def test_character_that_is_hidden_or_steers_a_terminal_is_an_escape(text: str, shown: str):
    """As Python and many other languages write it."""
    assert in_one_line(text) == shown


def test_ordinary_text_of_any_script_stays():
    """Letters, marks, digits, signs and spaces, also the sign before a number in Arabic."""
    assert in_one_line(ORDINARY) == in_lines(ORDINARY) == in_json(ORDINARY) == ORDINARY


def test_every_character_of_unicode_is_seen_or_an_escape():
    """By their categories, without the planes that hold only Chinese characters, or nothing."""
    signs = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
    wrong = [
        hex(point)
        for point in (*range(0x20000), *range(0xE0000, 0xE0200), sys.maxunicode)
        if (in_one_line(chr(point)) == chr(point))
        == (unicodedata.category(chr(point)) in HIDDEN and chr(point) not in signs)
    ]
    assert wrong == []


def test_text_of_several_lines_keeps_its_lines():
    """And their tabs; a carriage return, which would overwrite a line, is an escape."""
    assert in_lines("a:\n\tb\x1b[0m\rc\n") == "a:\n\tb\\x1b[0m\\rc\n"


@settings(max_examples=ROUNDS, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("".join(LETTERS))), max_size=60))
def test_random_text_is_seen_once_and_for_all(text: str):
    """One line, which does not change when it passes another place; JSON says the same as before."""
    line = in_one_line(text)
    assert is_seen(line)
    assert len(line.splitlines()) <= 1
    assert in_one_line(line) == line
    assert is_seen(in_lines(text).replace("\t", ""))
    document = in_json(json.dumps({"text": text}, ensure_ascii=False, indent=1))
    assert is_seen(document)
    assert json.loads(document) == {"text": text}


def test_overlong_word_and_sentence_are_cut():
    """Begin and end stay: the cause comes first, the remedy last."""
    assert in_a_sentence(f"it is {DIGITS}, too much") == f"it is {'9' * 100}…{'9' * 29}, too much"
    said = in_a_sentence("cause " + "word " * 5_000 + "remedy")
    assert (said[:6], said[-6:], len(said)) == ("cause ", "remedy", SENTENCE_MAX)


def test_text_is_cut_in_its_middle():
    """To the length that fits."""
    assert shorten("abcdefghijklmnopqrstuvwxyz", 20) == "abcdefghijklm … wxyz"
    assert shorten("abc", 20) == "abc"
