"""The same value in less memory: what is equal is kept once.

A finished run stays in the cache for weeks, with thousands like it: the same image, reasons and keys, and
times of which most are equal. Parsed from JSON, each would have its own copy of all of them.
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar, cast

V = TypeVar("V")

SHARED_MAX: Final = 160
"""Characters; longer texts are hardly ever equal, and take long to compare."""


def compact(value: V) -> V:
    """Give an equal value that shares its parts with others."""
    return cast("V", _compact(value, {}))


def _compact(value: Any, times: dict[datetime, datetime]) -> Any:
    kind: Any = type(value)
    if kind is str:
        return sys.intern(value) if len(value) <= SHARED_MAX else value
    if kind is dict:
        return {_compact(name, times): _compact(one, times) for name, one in value.items()}
    if kind is tuple or kind is list:
        return kind(_compact(one, times) for one in value)
    if kind is datetime:
        return times.setdefault(value, value)
    for name in _fields(kind):
        # Nobody else has seen it yet: it is as good as a new one, and a third of the work.
        object.__setattr__(value, name, _compact(getattr(value, name), times))
    return value


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
