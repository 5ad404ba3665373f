"""Few modules write to a terminal, so that there is one place for escapes on each side."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("images/runner/qlib_shadow_runner", "operator/qlib_shadow_operator")
STREAMS: Final = {"stdout", "stderr", "__stdout__", "__stderr__"}
FUNCTIONS: Final = {
    "print",
    "pprint",
    "print_exc",
    "print_exception",
    "print_stack",
    "StreamHandler",
    "Console",
}
SUSPECT: Final = re.compile(rf"\b(?:{'|'.join(STREAMS | FUNCTIONS | {'rich'})})\b")
ALLOWED: Final = {
    "images/runner/qlib_shadow_runner/printing.py": "all that the runner prints",
    "images/runner/qlib_shadow_runner/process/ending.py": "nothing: both are flushed",
    "images/runner/qlib_shadow_runner/process/tee.py": "the output of libraries, with escapes",
    "images/runner/qlib_shadow_runner/cli/stage_progress.py": "the line that is redrawn on a terminal",
    "images/runner/qlib_shadow_runner/ui/server.py": "the handler of the log, with a formatter that escapes",
    "images/runner/qlib_shadow_runner/crash_points.py": "the name of a point, for tests",
    "images/runner/qlib_shadow_runner/pickles/__main__.py": "the bytes of an answer, into a pipe",
    "images/runner/qlib_shadow_runner/plugins/backtest/records.py": "figures, printed as Qlib prints them",
    "operator/qlib_shadow_operator/printing.py": "all that the operator's commands print",
    "operator/qlib_shadow_operator/telemetry/logs.py": "the operator's log, with formatters that escape",
}
"""The modules that may write, and what."""


def writes(tree: ast.AST) -> Iterator[str]:
    """Yield what a module uses that writes to stdout or stderr."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in STREAMS
            and getattr(node.value, "id", "") == "sys"
        ):
            yield f"sys.{node.attr}"
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in FUNCTIONS:
                yield f"{name}()"
        if isinstance(node, ast.ImportFrom) and node.module in {"rich", "rich.live", "rich.console"}:
            yield from (f"rich: {one.name}" for one in node.names if one.name in {"Console", "Live", "print"})


def test_only_the_modules_of_the_list_write_to_a_terminal():
    """Everything else goes through them, and cannot forget to escape what it quotes."""
    texts = {path: path.read_text() for source in SOURCES for path in (ROOT / source).rglob("*.py")}
    suspect = {path: text for path, text in texts.items() if SUSPECT.search(text)}
    found = {
        path.relative_to(ROOT).as_posix(): sorted(set(writes(ast.parse(text))))
        for path, text in suspect.items()
    }
    writing = {path: uses for path, uses in found.items() if uses}
    assert {path: uses for path, uses in writing.items() if path not in ALLOWED} == {}
    assert set(ALLOWED) <= set(writing), "an entry that is no longer needed"
