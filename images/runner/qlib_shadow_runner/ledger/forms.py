"""Whether a JSON document has the form that a type declares: a dataclass, a TypedDict, an enumeration.

The declarations in `entries`, `rules` and `account` are the one place that says what a book's files hold.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
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
AT_ONCE: Final[Mapping[Any, frozenset[type]]] = {
    float: frozenset({float, int}),
    int: frozenset({int}),
    str: frozenset({str}),
    bool: frozenset({bool}),
}
"""The types whose values fit without another look: most fields are one of them."""
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


Check = Callable[[object, str], str | None]
"""Returns what is wrong with a value at a place in a document, or None."""


def misfit(document: object, form: Any) -> str | None:
    """Return the first field that does not have its form, and what it has to be; None where all have it."""
    return _check_of(form)(document, "")


@cache
def _check_of(form: Any) -> Check:
    """Return the check of a form, made once: a chain has thousands of documents of few forms."""
    origin, arguments = get_origin(form), get_args(form)
    if form is Any:
        return lambda _value, _where: None
    if origin in (types.UnionType, Union):
        return _check_of_union([_check_of(one) for one in arguments])
    if origin in (list, tuple):
        return _check_of_list(_check_of(arguments[0]))
    if origin in (dict, Mapping):
        return _check_of_map(_check_of(arguments[1]), AT_ONCE.get(arguments[1], frozenset()))
    if typing.is_typeddict(form) or dataclasses.is_dataclass(form):
        return _check_of_fields(form)
    return lambda value, where: (
        None if _is_plain(value, form) else f"{_named(where)} {shown(value)}, not {_words(form)}"
    )


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


def _check_of_union(checks: Sequence[Check]) -> Check:
    def check(value: object, where: str) -> str | None:
        found = [one(value, where) for one in checks]
        return None if None in found else found[0]

    return check


def _check_of_list(inner: Check) -> Check:
    def check(value: object, where: str) -> str | None:
        if not isinstance(value, list):
            return f"{_named(where)} {shown(value)}, not a list"
        found = (inner(one, f"{where}[{number}]") for number, one in enumerate(value))
        return next(filter(None, found), None)

    return check


def _check_of_map(inner: Check, at_once: frozenset[type]) -> Check:
    def check(value: object, where: str) -> str | None:
        if not isinstance(value, dict):
            return f"{_named(where)} {shown(value)}, not an object"
        found = (inner(one, _inside(where, name)) for name, one in value.items() if type(one) not in at_once)
        return next(filter(None, found), None)

    return check


def _check_of_fields(form: type) -> Check:
    """Return the check of an object with named fields.

    A field with a default need not be there, since an earlier version may not have known it.
    """
    hints = {**typing.get_type_hints(form, localns=NAMES), **FORMS.get(form, {})}
    optional: set[str] = set()
    if dataclasses.is_dataclass(form):
        optional = {one.name for one in dataclasses.fields(form) if one.default is not dataclasses.MISSING}
    required = hints.keys() - optional
    checks = {name: (AT_ONCE.get(hint, frozenset()), _check_of(hint)) for name, hint in hints.items()}

    def check(value: object, where: str) -> str | None:
        if not isinstance(value, dict):
            return f"{_named(where)} {shown(value)}, not an object"
        if missing := sorted(required - value.keys()):
            return f"has no {_inside(where, missing[0])}"
        if more := sorted(value.keys() - checks.keys()):
            return f"has {_inside(where, shown(more[0]))}, which is no field"
        for name, one in value.items():
            at_once, inner = checks[name]
            if type(one) not in at_once and (fault := inner(one, _inside(where, name))):
                return fault
        return None

    return check


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _named(where: str) -> str:
    return f"has {where}" if where else "is"


def _words(form: type) -> str:
    if issubclass(form, StrEnum):
        return f"one of {', '.join(form)}"
    return WORDS[form]
