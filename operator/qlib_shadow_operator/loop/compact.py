"""Share equal parts of cached values to save memory.

A finished run stays in the cache for weeks, beside thousands with the same image, reasons and keys, and
mostly equal times. Each would have its own copy of them.
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
    """Return an equal value that shares its parts with other values."""
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
        # No other code holds the value yet, so changing it in place is safe, and three times as fast as a
        # copy.
        object.__setattr__(value, name, _compact(getattr(value, name), times))
    return value


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
