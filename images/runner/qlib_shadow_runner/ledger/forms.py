"""Whether a JSON document has the form that a type declares: a dataclass, a TypedDict, an enumeration.

The declarations in `entries`, `rules` and `account` are the one place that says what a book's files hold.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypedDict, Union, get_args, get_origin

from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.contract.spec.ledger import DECIDE_BEFORE, Delisted, FillAt, Unfilled, Weights
from qlib_shadow_runner.ledger.account import Fill, Order
from qlib_shadow_runner.ledger.entries import BookDocument, DayDocument, Decision, FillDocument
from qlib_shadow_runner.ledger.exchange import BUY, SELL
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets
from qlib_shadow_runner.runs import values


class Day(str):
    """An ISO date."""

    __slots__ = ()


class DayOrNone(str):
    """An ISO date, or an empty text."""

    __slots__ = ()


class Moment(str):
    """An ISO time in UTC."""

    __slots__ = ()


class Positive(float):
    """A number above zero."""

    __slots__ = ()


class NotNegative(float):
    """A number of at least zero."""

    __slots__ = ()


class Count(int):
    """How many there are, or none."""


class AtLeastOne(int):
    """How many there are."""


class Deadline(str):
    """A time of day and its time zone."""

    __slots__ = ()


class Side(StrEnum):
    """What an order does."""

    BUY = BUY
    SELL = SELL


class _Position(TypedDict):
    instrument: str
    amount: float
    shares: float
    price: float
    factor: Positive
    priced: Day
    days: int
    weight: float


class _Account(TypedDict):
    cash: float
    nav: float
    positions: list[_Position]


FORMS: Final[Mapping[type, Mapping[str, Any]]] = {
    BookDocument: {"rules": Rules, "createdAt": Moment},
    Costs: {
        **dict.fromkeys(("open_cost", "close_cost", "min_cost", "impact_cost", "slippage_bps"), NotNegative),
        "trade_unit": AtLeastOne | None,
    },
    Targets: {"topk": AtLeastOne, "n_drop": Count, "hold_days": Count, "weights": Weights | None},
    Rules: {
        "fill_at": FillAt,
        "unfilled": Unfilled,
        "delisted": Delisted,
        "slices": AtLeastOne,
        "decide_before": Deadline | None,
    },
    Order: {"side": Side, "priced": DayOrNone},
    Fill: {"side": Side},
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
MOST: Final = 1e30
"""Of any number, so that no product of some of them is infinite."""
MANY: Final = 1_000_000
"""Of what rules count: instruments, slices, days, shares of a lot."""
WORDS: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: f"a number of at most {MOST:g}",
    Positive: "a number above 0",
    NotNegative: "a number of at least 0",
    Count: f"a whole number from 0 to {MANY:,}",
    AtLeastOne: f"a whole number from 1 to {MANY:,}",
    Deadline: "a time of day and a time zone",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
    Day: "a date",
    DayOrNone: "a date or an empty text",
    Moment: "a time in UTC",
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
        return _check_of_map(_check_of(arguments[1]))
    if typing.is_typeddict(form) or dataclasses.is_dataclass(form):
        return _check_of_fields(form)
    fits = FITS.get(form) or _fits_other(form)
    return lambda value, where: None if fits(value) else f"{_named(where)} {shown(value)}, not {_words(form)}"


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -MOST <= value <= MOST  # type: ignore[operator]


def _fits_other(form: type) -> Callable[[object], bool]:
    """Return whether a value is of an enumeration, or of a plain type."""
    if issubclass(form, StrEnum):
        words = frozenset(form)
        return lambda value: isinstance(value, str) and value in words
    return lambda value: type(value) is form


FITS: Final[Mapping[Any, Callable[[object], bool]]] = {
    float: _is_number,
    Positive: lambda value: _is_number(value) and value > 1 / MOST,  # type: ignore[operator]
    NotNegative: lambda value: _is_number(value) and value >= 0,  # type: ignore[operator]
    Count: lambda value: type(value) is int and 0 <= value <= MANY,
    AtLeastOne: lambda value: type(value) is int and 1 <= value <= MANY,
    Deadline: lambda value: isinstance(value, str) and bool(re.fullmatch(DECIDE_BEFORE, value)),
    Day: lambda value: values.day(value) is not None,
    DayOrNone: lambda value: value == "" or values.day(value) is not None,
    Moment: lambda value: str(value).endswith("Z") and values.moment(value) is not None,
}
"""Whether a value is of a type that Python's own does not tell."""


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


def _check_of_map(inner: Check) -> Check:
    def check(value: object, where: str) -> str | None:
        if not isinstance(value, dict):
            return f"{_named(where)} {shown(value)}, not an object"
        found = (inner(one, _inside(where, name)) for name, one in value.items())
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
    checks = {name: _check_of(hint) for name, hint in hints.items()}

    def check(value: object, where: str) -> str | None:
        if not isinstance(value, dict):
            return f"{_named(where)} {shown(value)}, not an object"
        if missing := sorted(required - value.keys()):
            return f"has no {_inside(where, missing[0])}"
        if more := sorted(value.keys() - checks.keys()):
            return f"has {_inside(where, shown(more[0]))}, which is no field"
        found = (checks[name](one, _inside(where, name)) for name, one in value.items())
        return next(filter(None, found), None)

    return check


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _named(where: str) -> str:
    return f"has {where}" if where else "is"


def _words(form: type) -> str:
    if issubclass(form, StrEnum):
        return f"one of {', '.join(form)}"
    return WORDS[form]
