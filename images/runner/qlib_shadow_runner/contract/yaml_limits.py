"""How much a YAML document may hold, counted on the parser's events, before any value is built.

A megabyte of commas takes a minute to build, and ten lines of aliases stand for millions of values.
The events of PyYAML and of ruamel.yaml have the same names, so that this module needs neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST: Final = 1 << 20
"""Bytes: a ConfigMap has no more, and a list of five thousand symbols a twentieth."""
EACH_TIME: Final = "aliases counted each time; write fewer"
USUAL_TAGS: Final = frozenset({None, "tag:yaml.org,2002:str"})
"""JSON, and so a cluster, has no other; PyYAML fails on a value that does not fit its tag."""
LONG: Final = 400
NUMBER: Final = re.compile(r"[-+0-9][-+0-9.:_]*")
"""Also in the parts of sixty that YAML 1.1 has, 1:30:00, of which a million take hours to multiply."""


class Unreadable(ValueError):  # noqa: N818 - the sentence says what is wrong
    """What is wrong with a text: the end of a sentence that begins with the text's name."""


@dataclass(frozen=True)
class YamlLimits:
    """The limits of one kind of document."""

    nodes: int
    """Keys and values; those that an alias stands for count each time."""
    depth: int

    def check(self, events: Iterable[Any]) -> None:
        """Raise Unreadable where a text holds more."""
        count = _Count(self)
        for event in events:
            count.take(event)


@dataclass
class _Part:
    """A key or value with all that is in it: how much that is, and how deep it is nested."""

    anchor: str | None
    nodes: int = 1
    characters: int = 0
    depth: int = 0


class _Count:
    """What a text has held so far."""

    def __init__(self, limits: YamlLimits) -> None:
        self._limits = limits
        self._whole = _Part(None, nodes=0)
        self._open: list[_Part] = []
        """The collections around the next event."""
        self._anchored: dict[str, _Part] = {}

    def take(self, event: Any) -> None:
        """Count one event."""
        kind = type(event).__name__
        if getattr(event, "tag", None) not in USUAL_TAGS:
            raise Unreadable(f"has the YAML tag {event.tag}{_line(event)}; leave tags out")
        if kind == "DocumentStartEvent":
            self._anchored.clear()
            self._add(_Part(None), event)  # a document counts as well
        elif kind == "AliasEvent":
            self._add(self._named(event), event)
        elif kind == "ScalarEvent":
            self._check_number(event)
            self._close(_Part(event.anchor, characters=len(event.value)), event)
        elif kind in {"SequenceStartEvent", "MappingStartEvent"}:
            self._open.append(_Part(event.anchor, depth=1))
            self._check_depth(0, event)
        elif kind in {"SequenceEndEvent", "MappingEndEvent"}:
            self._close(self._open.pop(), event)

    def _named(self, event: Any) -> _Part:
        where = f"has the YAML alias {event.anchor}{_line(event)}"
        if any(part.anchor == event.anchor for part in self._open):
            raise Unreadable(f"{where} inside of what it stands for")
        if event.anchor not in self._anchored:
            raise Unreadable(f"{where}, and no anchor of this name before it")
        return self._anchored[event.anchor]

    def _close(self, part: _Part, event: Any) -> None:
        if part.anchor is not None:
            self._anchored[part.anchor] = part
        self._add(part, event)

    def _add(self, part: _Part, event: Any) -> None:
        self._check_depth(part.depth, event)
        around = self._open[-1] if self._open else self._whole
        around.nodes += part.nodes
        around.characters += part.characters
        around.depth = max(around.depth, part.depth + 1)
        nodes = sum(one.nodes for one in self._open) + self._whole.nodes
        if nodes > self._limits.nodes:
            what = f"stands for more than {self._limits.nodes:,} keys and values"
            raise Unreadable(f"{what}{_line(event)}, {EACH_TIME}")
        if around.characters > LARGEST:
            raise Unreadable(f"stands for more than {LARGEST:,} characters{_line(event)}, {EACH_TIME}")

    def _check_depth(self, below: int, event: Any) -> None:
        if len(self._open) + below > self._limits.depth:
            raise Unreadable(f"is nested deeper than {self._limits.depth} levels{_line(event)}")

    def _check_number(self, event: Any) -> None:
        if len(event.value) > LONG and NUMBER.fullmatch(event.value):
            raise Unreadable(
                f"holds a number of {len(event.value):,} digits{_line(event)}; write a smaller one"
            )


def _line(event: Any) -> str:
    return f" at line {event.start_mark.line + 1}"
