"""Untrusted YAML, read with the parser that qrun uses, within limits.

With anchors, a few lines can stand for gigabytes. So the values that a text stands for are counted from the
parser's events, aliases included, before any object is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.texts import in_words

if TYPE_CHECKING:
    from ruamel.yaml.events import Event

LARGEST: Final = 1 << 20
"""Bytes; a list of five thousand symbols takes a twentieth of this."""
DEEPEST: Final = 24
MOST_VALUES: Final = 100_000
"""Scalars, lists and mappings, each counted as often as an alias names it."""


class Unreadable(ValueError):  # noqa: N818 - the sentence says what is wrong
    """What is wrong with a text: the end of a sentence that begins with the text's name."""


def load_bounded(text: str, largest: int = LARGEST) -> object:
    """Return the value of a text, with anchors resolved and nothing shared; refuse what passes a limit."""
    if len(text.encode(errors="replace")) > largest:
        raise Unreadable(f"is larger than {largest:,} bytes")
    try:
        _Measure().take(text)
        value = _parser().load(text)
    except YAMLError as error:
        raise Unreadable(f"is not YAML{_place(error)}") from error
    except Unreadable:
        raise
    except (ValueError, OverflowError, TypeError, KeyError, AttributeError) as error:
        # Such as 2020-02-30, which looks like a day; the parser has no error of its own for it.
        raise Unreadable(f"holds a value that is none: {in_words(error)}") from error
    return _unshared(value)


def _parser() -> YAML:
    parser = YAML(typ="safe", pure=True)
    parser.composer.warn_double_anchors = False  # the last one counts, as YAML says
    return parser


@dataclass
class _Part:
    """A node that is not complete yet: how many values it stands for, and how deep they are nested."""

    anchor: str | None
    values: int = 1
    depth: int = 0


@dataclass
class _Measure:
    """Counts what a text stands for, without building it."""

    open: list[_Part] = field(default_factory=list)
    anchored: dict[str, _Part] = field(default_factory=dict)

    def take(self, text: str) -> None:
        """Refuse a text that stands for more than the limits allow, or that has tags."""
        for event in _parser().parse(text):
            if isinstance(event, AliasEvent):
                self._add(self._named(event), event)
            elif isinstance(event, NodeEvent):
                _check_tag(event)
                if isinstance(event, CollectionStartEvent):
                    self.open.append(_Part(event.anchor, depth=1))
                    self._check_depth(0, event)
                else:
                    self._close(_Part(event.anchor), event)
            elif isinstance(event, CollectionEndEvent):
                self._close(self.open.pop(), event)

    def _named(self, event: AliasEvent) -> _Part:
        name = event.anchor
        if any(part.anchor == name for part in self.open):
            raise Unreadable(f"has the YAML alias {name}{_line(event)} inside of what it stands for")
        if name not in self.anchored:
            raise Unreadable(f"has the YAML alias {name}{_line(event)}, and no anchor of this name before it")
        return self.anchored[name]

    def _close(self, part: _Part, event: Event) -> None:
        if part.anchor is not None:
            self.anchored[part.anchor] = part
        self._add(part, event)

    def _add(self, part: _Part, event: Event) -> None:
        self._check_depth(part.depth, event)
        if self.open:
            self.open[-1].values += part.values
            self.open[-1].depth = max(self.open[-1].depth, part.depth + 1)
            if self.open[-1].values > MOST_VALUES:
                raise Unreadable(f"stands for more than {MOST_VALUES:,} values{_line(event)}")

    def _check_depth(self, below: int, event: Event) -> None:
        if len(self.open) + below > DEEPEST:
            raise Unreadable(f"is nested deeper than {DEEPEST} levels{_line(event)}")


def _check_tag(event: NodeEvent) -> None:
    if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
        raise Unreadable(f"has the YAML tag {event.tag}{_line(event)}; leave tags out")


def _unshared(value: object) -> object:
    """Return a copy in which no two places are one object, so that a change of one is a change of one."""
    if isinstance(value, dict):
        return {_unshared(key): _unshared(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_unshared(one) for one in value]
    if isinstance(value, int) and value not in WHOLE:
        raise Unreadable("holds a whole number of more than 64 bits, which neither LightGBM nor JSON takes")
    return value


def _line(event: Event) -> str:
    return f" at line {event.start_mark.line + 1}"


def _place(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}" if mark else ""
    return f"{where}: {getattr(error, 'problem', None) or 'unreadable'}"
