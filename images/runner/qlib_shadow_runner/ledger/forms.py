"""Whether a JSON document has the form that a type declares: a dataclass, a TypedDict, an enumeration.

The declarations in `entries`, `rules` and `account` are the one place that says what a book's files hold.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NotRequired, TypedDict, Union, get_args, get_origin

from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.contract.spec.ledger import Delisted, FillAt, Unfilled, Weights
from qlib_shadow_runner.ledger.account import Fill, Order
from qlib_shadow_runner.ledger.entries import (
    BookDocument,
    DayDocument,
    Decision,
    FillDocument,
    GateAnswer,
    Verdict,
)
from qlib_shadow_runner.ledger.exchange import BUY, SELL
from qlib_shadow_runner.ledger.gates import NAMES, SYNTHETIC
from qlib_shadow_runner.ledger.ranges import (
    AMOUNT,
    DAY,
    DAY_OR_EMPTY,
    DEADLINE,
    EXCHANGE,
    MOMENT,
    NUMBER,
    PLAIN,
    POSITIVE,
    SHA256,
    TEXT,
    Kind,
    either,
    number,
    one_of,
    or_none,
    whole,
    with_keys,
)
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets


class _Position(TypedDict):
    instrument: str
    amount: float
    shares: float
    price: float
    factor: float
    priced: str
    days: int
    weight: float


class _Account(TypedDict):
    cash: float
    nav: float
    positions: list[_Position]


class _Slice(TypedDict):
    id: str
    time: str
    shares: float


class _Adjusted(TypedDict):
    instrument: str
    day: str
    ratio: float
    raw: bool | None


AT_ALL: Final = 1_000_000
"""More instruments or days than any book has."""
MONEY: Final = 1e15
"""More than any account has."""
_LINK: Final = {"previous": SHA256, "day": DAY, "account": _Account, "number": whole(1, AT_ALL)}
FIGURE: Final = or_none(either(TEXT, NUMBER))
FORMS: Final[Mapping[type, Mapping[str, Any]]] = {
    Costs: {
        **dict.fromkeys(("open_cost", "close_cost", "impact_cost"), number(0, 1)),
        "min_cost": number(0, MONEY),
        "limit_threshold": or_none(number(0, 1)),
        "trade_unit": or_none(whole(1, AT_ALL)),
        "slippage_bps": number(0, 10_000),
    },
    Targets: {
        "topk": whole(0, AT_ALL),
        "n_drop": whole(0, AT_ALL),
        "weights": or_none(one_of(*Weights)),
        "risk_degree": number(0, 1),
        "hold_days": whole(0, AT_ALL),
    },
    Rules: {
        "fill_at": one_of(*FillAt),
        "unfilled": one_of(*Unfilled),
        "delisted": one_of(*Delisted),
        "slices": whole(1, 1000),
        "decide_before": or_none(DEADLINE),
        "calendar": EXCHANGE,
    },
    BookDocument: {
        "capital": POSITIVE,
        "share": or_none(number(0, 1)),
        "rules": Rules,
        "createdAt": MOMENT,
    },
    _Position: {
        "amount": AMOUNT,
        "price": AMOUNT,
        "factor": POSITIVE,
        "priced": DAY,
        "days": whole(0, AT_ALL),
    },
    _Slice: {"time": MOMENT},
    _Adjusted: {"day": DAY, "ratio": POSITIVE},
    Order: {
        "side": one_of(BUY, SELL),
        "priced": DAY_OR_EMPTY,
        "amount": AMOUNT,
        "price": AMOUNT,
        "slices": list[_Slice],
    },
    Fill: {"side": one_of(BUY, SELL), "amount": AMOUNT, "price": AMOUNT},
    GateAnswer: {"verdict": Verdict, "figure": FIGURE, "limit": FIGURE},
    DayDocument: {
        **_LINK,
        "run": with_keys("runId"),
        "era": whole(1, AT_ALL),
        "rules": Rules | None,
        "rulesSha256": SHA256,
        "recordedAt": MOMENT,
        "decideBefore": or_none(MOMENT),
        "decision": Decision,
        "figures": with_keys("turnover", "drawdown", "dayReturn"),
        "peakSince": DAY,
        "orders": list[Order],
    },
    FillDocument: {
        **_LINK,
        "run": with_keys("runId"),
        "decision": or_none(DAY),
        "fills": list[Fill],
        "carried": list[Order],
        "adjusted": list[_Adjusted],
    },
}
"""Fields whose form is narrower than the declaration of the document says."""
WORDS: Final = frozenset({"halt", "golden", "signals", "liveIc", "drift"})
"""The gates whose figure is a word."""
FIGURES: Final[Mapping[str, Kind]] = {
    **{name: or_none(NUMBER) for name in NAMES if name not in WORDS},
    "dataAge": or_none(either(number(0, AT_ALL), one_of(SYNTHETIC))),
}
"""Of the gates that compute with their figure."""
LOCALS: Final = {"Mapping": Mapping, "Any": Any, "Verdict": Verdict}
"""What annotations use that is imported for the type checker alone."""


Check = Callable[[object, str], str | None]
"""Returns what is wrong with a value at a place in a document, or None."""


def misfit(document: object, form: Any) -> str | None:
    """Return the first field that does not have its form, and what it has to be; None where all have it."""
    return _check_of(form)(document, "")


@cache
def _check_of(form: Any) -> Check:
    """Return the check of a form, made once: a chain has thousands of documents of few forms."""
    if isinstance(form, Kind):
        return lambda value, where: (
            None if form.fits(value) else f"{_named(where)} {shown(value)}, not {form.words}"
        )
    origin, arguments = get_origin(form), get_args(form)
    if origin in (types.UnionType, Union):
        return _check_of_union([_check_of(one) for one in arguments])
    if origin in (list, tuple):
        return _check_of_list(_check_of(arguments[0]))
    if origin in (dict, Mapping):
        return _check_of_map(_check_of(arguments[1]))
    if typing.is_typeddict(form) or dataclasses.is_dataclass(form):
        return _check_of_fields(form)
    return _check_of(PLAIN.get(form) or one_of(*form))


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

    A field with a default, or one that is NotRequired, need not be there, since an earlier version may not
    have known it. A field that is not known is refused: a version that adds one writes a higher schema.
    """
    hints = typing.get_type_hints(form, localns=LOCALS, include_extras=True)
    optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    plain = {name: get_args(hint)[0] if name in optional else hint for name, hint in hints.items()}
    if dataclasses.is_dataclass(form):
        optional = {one.name for one in dataclasses.fields(form) if one.default is not dataclasses.MISSING}
    hints = {**plain, **FORMS.get(form, {})}
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

    return _check_of_gate(check) if form is GateAnswer else check


def _check_of_gate(plain: Check) -> Check:
    """Return the check of a gate's answer, whose figure is a number or a word, as the gate has it."""
    by_gate = {name: _check_of(figure) for name, figure in FIGURES.items()}

    def check(value: object, where: str) -> str | None:
        fault = plain(value, where)
        if fault is not None or not isinstance(value, dict) or value["gate"] not in by_gate:
            return fault
        return by_gate[value["gate"]](value["figure"], _inside(where, "figure"))

    return check


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _named(where: str) -> str:
    return f"has {where}" if where else "is"
