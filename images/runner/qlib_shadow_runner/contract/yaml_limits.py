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
NOT_COUNTED: Final = frozenset({"StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"})
LONG: Final = 400
NUMBER: Final = re.compile(r"[-+0-9][-+0-9.:_]*")
"""Also in the parts of sixty that YAML 1.1 has, 1:30:00, of which a million take hours to multiply."""


class TooLargeError(ValueError):
    """What is too large, as the end of a sentence that begins with the document."""


@dataclass(frozen=True)
class YamlLimits:
    """The limits of one kind of document."""

    nodes: int
    """Keys and values; those that an alias stands for count each time."""
    depth: int

    def check(self, text: str, events: Iterable[Any]) -> None:
        """Raise TooLargeError where the document holds more."""
        if len(text) > LARGEST:
            raise TooLargeError(f"holds more than {LARGEST:,} characters; shorten it")
        count = _Count(self)
        for event in events:
            count.take(event)


class _Count:
    """What a document has held so far."""

    def __init__(self, limits: YamlLimits) -> None:
        self._limits = limits
        self._nodes = self._characters = 0
        self._open: list[tuple[str | None, int, int]] = []
        """The collections around the next event: their anchors, and what was counted before each."""
        self._anchored: dict[str, tuple[int, int]] = {}

    def take(self, event: Any) -> None:
        """Count one event."""
        kind = type(event).__name__
        if kind in {"SequenceEndEvent", "MappingEndEvent"}:
            anchor, *before = self._open.pop()
            self._remember(anchor, *before)
        elif kind not in NOT_COUNTED:
            self._count(kind, event)

    def _count(self, kind: str, event: Any) -> None:
        nodes, characters = self._nodes, self._characters
        self._nodes += 1  # a document counts as well
        if kind == "DocumentStartEvent":
            self._anchored.clear()
        elif kind == "AliasEvent":
            self._repeat(event)
        elif kind == "ScalarEvent":
            self._characters += len(event.value)
            self._check_number(event)
            self._remember(event.anchor, nodes, characters)
        elif kind in {"SequenceStartEvent", "MappingStartEvent"}:
            self._open.append((event.anchor, nodes, characters))
        self._check(event)

    def _remember(self, anchor: str | None, nodes: int, characters: int) -> None:
        if anchor is not None:
            self._anchored[anchor] = self._nodes - nodes, self._characters - characters

    def _repeat(self, event: Any) -> None:
        if any(anchor == event.anchor for anchor, *_ in self._open):
            raise TooLargeError(f"holds the alias *{event.anchor} within what it stands for{_line(event)}")
        nodes, characters = self._anchored.get(event.anchor, (1, 0))
        self._nodes += nodes - 1
        self._characters += characters

    def _check(self, event: Any) -> None:
        if len(self._open) > self._limits.depth:
            raise TooLargeError(f"is nested deeper than {self._limits.depth} levels{_line(event)}")
        if self._nodes > self._limits.nodes:
            raise TooLargeError(
                f"holds more than {self._limits.nodes:,} keys and values{_line(event)}, {EACH_TIME}"
            )
        if self._characters > LARGEST:
            raise TooLargeError(f"stands for more than {LARGEST:,} characters{_line(event)}, {EACH_TIME}")

    def _check_number(self, event: Any) -> None:
        if len(event.value) > LONG and NUMBER.fullmatch(event.value):
            raise TooLargeError(
                f"holds a number of {len(event.value):,} digits{_line(event)}; write a smaller one"
            )


def _line(event: Any) -> str:
    return f" at line {event.start_mark.line + 1}"
