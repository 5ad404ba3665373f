"""The same value in less memory: what is equal is kept once.

A finished run stays in the cache for weeks, with thousands like it: the same image, reasons and keys, and
times of which most are equal. Parsed from JSON, each would have its own copy of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Final, TypeVar, cast

V = TypeVar("V")

SHARED_MAX: Final = 160
"""Characters; longer texts are hardly ever equal, and take long to compare."""


def compact(value: V) -> V:
    """Give an equal value that shares its parts with others."""
    return cast("V", _compact(value, {}))


def _compact(value: Any, times: dict[datetime, datetime]) -> Any:
    if type(value) is str:
        return sys.intern(value) if len(value) <= SHARED_MAX else value
    if isinstance(value, datetime):
        return times.setdefault(value, value)
    if isinstance(value, Mapping):
        return {_compact(name, times): _compact(one, times) for name, one in value.items()} or value
    if isinstance(value, tuple | list):
        return type(value)(_compact(one, times) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            # Nobody else has seen it yet: it is as good as a new one, and a third of the work.
            object.__setattr__(value, field.name, _compact(getattr(value, field.name), times))
    return value
