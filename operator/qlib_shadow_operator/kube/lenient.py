"""Read the operator's fields of a spec, by the table that describes them.

Malformed fields are left out, never an error: the API server refuses wrong values, and only types are checked
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from qlib_shadow_runner.contract.fields import Object, Reader, Record, fields_of
from qlib_shadow_runner.contract.kinds import ListOf

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.kinds import Kind

R = TypeVar("R", bound=Record)


def read_leniently(cls: type[R], raw: object, *, all_of_it: bool = False) -> R | None:
    """Return the operator's part of an object; None if it is empty, or its name is missing."""
    if not isinstance(raw, Mapping):
        return None
    found: dict[str, Any] = {}
    for one in fields_of(cls):
        mine = all_of_it or Reader.OPERATOR in one.reader
        if (value := _value(one.kind, raw.get(one.key), mine=mine)) is not None:
            found[one.name] = value
        elif one.required:
            return None
    return cls(**found) if found else None


def _value(kind: Kind[Any], raw: object, *, mine: bool) -> Any:
    if isinstance(kind, Object):
        return read_leniently(kind.cls, raw, all_of_it=mine)
    if not mine or not isinstance(raw, kind.json):
        return None
    if isinstance(kind, ListOf):
        return tuple(one for item in raw if (one := _value(kind.of, item, mine=mine)) is not None)  # type: ignore[attr-defined]
    return raw
