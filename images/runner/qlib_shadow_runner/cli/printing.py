"""Saying something to a program, and what others wrote to a terminal."""

from __future__ import annotations

import json
import sys


def print_json(document: object) -> None:
    """Print one document, as every command does that was given --json; YAML's dates become words."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def in_one_line(text: str) -> str:
    """Spell out what would move the cursor or colour the screen: no run draws another's line."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
