"""Read a workflow with the parser that qrun uses, and only the parts of YAML that a workflow needs.

Two parsers that disagree about one character would let a file say one thing here and another there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionStartEvent, NodeEvent, ScalarEvent

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.yaml_limits import LARGEST, TooLargeError, YamlLimits
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ruamel.yaml.events import Event

MARKS: Final = ("{{", "{%", "{#")
LIMITS: Final = YamlLimits(nodes=50_000, depth=24)
"""Forty thousand symbols can be listed."""


def read_document(text: str) -> dict[str, object]:
    """Return the content of a rendered workflow, or refuse it."""
    if len(text.encode()) > LARGEST:
        refuse(f"the rendered workflow is larger than {LARGEST:,} bytes")
    for mark in MARKS:
        if mark in text:
            refuse(f'the rendered workflow still holds "{mark}", which qrun would render once more')
    try:
        LIMITS.check(text, _checked(YAML(typ="safe", pure=True).parse(text)))
        document = YAML(typ="safe", pure=True).load(text)
    except TooLargeError as error:
        refuse(f"the rendered workflow {error}")
    except YAMLError as error:
        refuse(f"the rendered workflow is not YAML{_place(error)}")
    except ValueError as error:  # such as 2020-02-30, which looks like a date
        refuse(f"the rendered workflow holds a value that is none: {error}")
    if not isinstance(document, dict):
        refuse("the rendered workflow is not a mapping")
    return document


def _checked(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events; refuse the parts of YAML that no workflow needs."""
    for event in events:
        if isinstance(event, NodeEvent):
            _check_node(event)
        yield event


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
