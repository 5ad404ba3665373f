"""No sentence for a user has a gap where a name belongs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("images/runner/qlib_shadow_runner", "operator/qlib_shadow_operator")
GAP: Final = re.compile(r"<[a-z][a-z -]*>")
DESCRIPTIONS: Final = ("contract/spec/", "cli/options.py")
"""Texts about a field or an option, which hold for every run and so name none."""
NO_SENTENCES: Final = frozenset({"<template>", "<metadata>", "<style>"})
"""A frame of a traceback, and tags of a drawing."""


def literals(source: Path) -> Iterator[str]:
    """Yield every text of a module that is not a docstring."""
    tree = ast.parse(source.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield re.sub(r"\(\?P<\w+>", "", node.value)


def test_no_sentence_has_a_placeholder():
    """A user who reads "stages.<stage>" has to find out which stage it was."""
    files = [path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))]
    assert len(files) > 200
    found = {
        f"{path.relative_to(ROOT)}: {gap}"
        for path in files
        if not any(part in path.as_posix() for part in DESCRIPTIONS)
        for text in literals(path)
        for gap in set(GAP.findall(text)) - NO_SENTENCES
    }
    assert found == set()
