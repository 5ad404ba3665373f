"""Whether a JSON document has the form that a type declares: a dataclass, a TypedDict, an enumeration.

The declarations in `entries`, `rules` and `account` are the one place that says what a book's files hold.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypedDict, Union, get_args, get_origin

from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.ledger.account import Fill, Order
from qlib_shadow_runner.ledger.entries import BookDocument, DayDocument, Decision, FillDocument
from qlib_shadow_runner.ledger.rules import Rules
from qlib_shadow_runner.runs import values


class Day(str):
    """An ISO date."""

    __slots__ = ()


class Moment(str):
    """An ISO time."""

    __slots__ = ()


class _Position(TypedDict):
    instrument: str
    amount: float
    shares: float
    price: float
    factor: float
    priced: Day
    days: int
    weight: float


class _Account(TypedDict):
    cash: float
    nav: float
    positions: list[_Position]


FORMS: Final[Mapping[type, Mapping[str, Any]]] = {
    BookDocument: {"rules": Rules, "createdAt": Moment},
    DayDocument: {
        "day": Day,
        "rules": Rules | None,
        "recordedAt": Moment,
        "decideBefore": Moment | None,
        "decision": Decision,
        "peakSince": Day,
        "orders": list[Order],
        "account": _Account,
    },
    FillDocument: {
        "day": Day,
        "decision": Day | None,
        "fills": list[Fill],
        "carried": list[Order],
        "account": _Account,
    },
}
"""Fields whose form is narrower than the declaration of the document says."""
NAMES: Final = {"Mapping": Mapping, "Any": Any}
"""What annotations use that is imported for the type checker alone."""
AT_ONCE: Final[Mapping[Any, tuple[type, ...]]] = {
    float: (float, int),
    int: (int,),
    str: (str,),
    bool: (bool,),
}
"""What most fields are, so that a long chain is read fast."""
WORDS: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
    Day: "a date",
    Moment: "a time",
    dict: "an object",
    list: "a list",
}


def misfit(document: object, form: Any) -> str | None:
    """Return the first field that does not have its form, and what it has to be; None where all have it."""
    return _misfit(document, form, "")


def _misfit(value: object, form: Any, where: str) -> str | None:
    if form is Any:
        return None
    origin, arguments = get_origin(form), get_args(form)
    if origin in (types.UnionType, Union):
        options = [_misfit(value, one, where) for one in arguments]
        return None if None in options else options[0]
    if origin in (list, tuple):
        return _misfit_of_list(value, arguments[0], where)
    if origin in (dict, Mapping):
        return _misfit_of_map(value, arguments[1], where)
    if typing.is_typeddict(form) or dataclasses.is_dataclass(form):
        return _misfit_of_fields(value, form, where)
    return None if _is_plain(value, form) else f"{_named(where)} {shown(value)}, not {_words(form)}"


def _is_plain(value: object, form: type) -> bool:
    if form is float:
        return type(value) in (int, float)
    if form is Day:
        return values.day(value) is not None
    if form is Moment:
        return values.moment(value) is not None
    if issubclass(form, StrEnum):
        return value in set(form)
    return type(value) is form


def _misfit_of_list(value: object, form: Any, where: str) -> str | None:
    if not isinstance(value, list):
        return f"{_named(where)} {shown(value)}, not a list"
    found = (_misfit(one, form, f"{where}[{number}]") for number, one in enumerate(value))
    return next(filter(None, found), None)


def _misfit_of_map(value: object, form: Any, where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{_named(where)} {shown(value)}, not an object"
    if form is float and set(map(type, value.values())) <= {int, float}:
        return None  # the scores of a day are thousands
    found = (_misfit(one, form, _inside(where, name)) for name, one in value.items())
    return next(filter(None, found), None)


def _misfit_of_fields(value: object, form: type, where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{_named(where)} {shown(value)}, not an object"
    hints, required = _fields(form)
    if missing := sorted(required - value.keys()):
        return f"has no {_inside(where, missing[0])}"
    if more := sorted(value.keys() - hints.keys()):
        return f"has {_inside(where, shown(more[0]))}, which is no field"
    found = (
        _misfit(one, hints[name], _inside(where, name))
        for name, one in value.items()
        if type(one) not in AT_ONCE.get(hints[name], ())
    )
    return next(filter(None, found), None)


@cache
def _fields(form: type) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the form of each field, and the fields that must be there.

    A field with a default need not, since an earlier version may not have known it.
    """
    hints = {**typing.get_type_hints(form, localns=NAMES), **FORMS.get(form, {})}
    optional: set[str] = set()
    if dataclasses.is_dataclass(form):
        optional = {one.name for one in dataclasses.fields(form) if one.default is not dataclasses.MISSING}
    return hints, frozenset(hints.keys() - optional)


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _named(where: str) -> str:
    return f"has {where}" if where else "is"


def _words(form: type) -> str:
    if issubclass(form, StrEnum):
        return f"one of {', '.join(form)}"
    return WORDS[form]
