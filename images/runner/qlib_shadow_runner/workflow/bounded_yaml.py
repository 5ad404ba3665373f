"""Untrusted YAML, read with the parser that qrun uses, within limits.

With anchors, a few lines can stand for gigabytes. So the values that a text stands for are counted from the
parser's events, aliases included, before any object is built.
"""

from __future__ import annotations

from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.contract.yaml_limits import LARGEST, Unreadable, YamlLimits
from qlib_shadow_runner.texts import in_words

LIMITS: Final = YamlLimits(nodes=50_000, depth=24)
"""A market of forty thousand symbols can be listed."""


def load_bounded(text: str, largest: int = LARGEST) -> object:
    """Return the value of a text, with anchors resolved and nothing shared; refuse what passes a limit."""
    if len(text.encode(errors="replace")) > largest:
        raise Unreadable(f"is larger than {largest:,} bytes")
    try:
        LIMITS.check(_parser().parse(text))
        value = _parser().load(text)
    except YAMLError as error:
        raise Unreadable(f"is not YAML{_place(error, text)}") from error
    except Unreadable:
        raise
    except (ValueError, OverflowError, TypeError, KeyError, AttributeError) as error:
        # Such as 2020-02-30, which looks like a day; the parser has no error of its own for it.
        raise Unreadable(f"holds a value that is none: {in_words(error)}") from error
    return _unshared(value)


def compose(text: str) -> Any:
    """Return the nodes of a text that was loaded within the limits, each with its place in it."""
    return _parser().compose(text)


def _parser() -> YAML:
    parser = YAML(typ="safe", pure=True)
    parser.composer.warn_double_anchors = False  # the last one counts, as YAML says
    return parser


def _unshared(value: object) -> object:
    """Return a copy in which no two places are one object, so that a change of one is a change of one."""
    if isinstance(value, dict):
        return {_unshared(key): _unshared(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_unshared(one) for one in value]
    if isinstance(value, int) and value not in WHOLE:
        raise Unreadable("holds a whole number of more than 64 bits, which neither LightGBM nor JSON takes")
    return value


def _place(error: YAMLError, text: str) -> str:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f" at line {line}: it has a character that YAML does not allow"
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}" if mark else ""
    return f"{where}: {getattr(error, 'problem', None) or 'unreadable'}"
