"""Saying something to a program."""

from __future__ import annotations

import json
import sys


def print_json(document: object) -> None:
    """Print one document, as every command does that was given --json; YAML's dates become words."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
