"""Read a rendered workflow with the parser that qrun uses, within limits.

Two parsers that disagree about one character would let a file say one thing here and another there.
"""

from __future__ import annotations

from typing import Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import ended
from qlib_shadow_runner.workflow.bounded_yaml import Unreadable, load_bounded

MARKS: Final = ("{{", "{%", "{#")


def read_document(text: str) -> dict[str, object]:
    """Return the content of a rendered workflow, or refuse it."""
    for mark in MARKS:
        if mark in text:
            refuse(f'the rendered workflow still holds "{mark}", which qrun would render once more')
    try:
        document = load_bounded(text)
    except Unreadable as fault:
        refuse(f"the rendered workflow {fault}")
    if not isinstance(document, dict):
        refuse("the rendered workflow is not a mapping")
    return document


def refuse(message: str) -> NoReturn:
    """End the stage because of what the workflow says."""
    raise StageError(Reason.INVALID_WORKFLOW, f"{ended(message)} Nothing was run.")
