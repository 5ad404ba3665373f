"""Read a workflow with the parser that qrun uses, and only the parts of YAML that a workflow needs.

Two parsers that disagree about one character would let a file say one thing here and another there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import ended, in_words

if TYPE_CHECKING:
    from ruamel.yaml.events import Event

MARKS: Final = ("{{", "{%", "{#")
LARGEST: Final = 1 << 20
"""Bytes; a list of five thousand symbols takes a twentieth of this."""
DEEPEST: Final = 24


def read_document(text: str) -> dict[str, object]:
    """Return the content of a rendered workflow, or refuse it."""
    if len(text.encode()) > LARGEST:
        refuse(f"the rendered workflow is larger than {LARGEST:,} bytes")
    for mark in MARKS:
        if mark in text:
            refuse(f'the rendered workflow still holds "{mark}", which qrun would render once more')
    try:
        _check_events(text)
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        refuse(f"the rendered workflow is not YAML{_place(error)}")
    except (ValueError, OverflowError) as error:  # such as 2020-02-30, which looks like a date
        refuse(f"the rendered workflow holds a value that is none: {in_words(error)}")
    if not isinstance(document, dict):
        refuse("the rendered workflow is not a mapping")
    _check_numbers(document)
    return document


def _check_numbers(value: object) -> None:
    """Refuse whole numbers of more than 64 bits, which neither LightGBM nor JSON takes."""
    if isinstance(value, int) and value not in WHOLE:
        refuse("the rendered workflow holds a whole number of more than 64 bits")
    if isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_numbers(part)


def _check_events(text: str) -> None:
    """Check the structure before building objects: with anchors, a few lines can stand for gigabytes."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            refuse(f"the rendered workflow is nested deeper than {DEEPEST} levels{_line(event)}")
        if isinstance(event, NodeEvent):
            _check_node(event)


def _check_node(event: NodeEvent) -> None:
    if isinstance(event, AliasEvent) or event.anchor is not None:
        refuse(
            f"the rendered workflow has the YAML anchor {event.anchor}{_line(event)}; "
            "write the value where it is needed, or take it from a parameter"
        )
    if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
        refuse(f"the rendered workflow has the YAML tag {event.tag}{_line(event)}; leave tags out")


def _line(event: Event) -> str:
    return f" at line {event.start_mark.line + 1}"


def _place(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}" if mark else ""
    return f"{where}: {getattr(error, 'problem', None) or 'unreadable'}"


def refuse(message: str) -> NoReturn:
    """End the stage because of what the workflow says."""
    raise StageError(Reason.INVALID_WORKFLOW, f"{ended(message)} Nothing was run.")
