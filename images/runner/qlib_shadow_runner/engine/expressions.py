"""Qlib's expressions as trees: which of them are supported, the kind of their values, and the days they need.

Qlib turns an expression into Python and evaluates it. Here the same text is parsed, and the tree is built as
Python would combine Qlib's objects. Everything whose result is not certain to be the same is `Unsupported`,
and left to Qlib. Pure: reads no data.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIELD: Final = re.compile(r"(?<!\$)\$(\w+)", re.ASCII)
MARK: Final = "field__"
LARGEST_NUMBER: Final = 1 << 53
ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Div: "Div",
    ast.Pow: "Power",
}
LOGIC: Final[Mapping[type[ast.operator], str]] = {ast.BitAnd: "And", ast.BitOr: "Or"}
COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Gt: "Gt",
    ast.GtE: "Ge",
    ast.Lt: "Lt",
    ast.LtE: "Le",
    ast.Eq: "Eq",
    ast.NotEq: "Ne",
}
MIRRORED: Final = {"Gt": "Lt", "Ge": "Le", "Lt": "Gt", "Le": "Ge", "Eq": "Eq", "Ne": "Ne"}
"""The comparison that Python evaluates when the left side is a number."""
FOLDED: Final[Mapping[str, Callable[[float, float], float]]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
}
PAIRS: Final = frozenset({*ARITHMETIC.values(), "Greater", "Less"})
SINGLES: Final = frozenset({"Abs", "Log", "Sign"})
SHIFTS: Final = frozenset({"Ref", "Delta"})
REGRESSIONS: Final = frozenset({"Slope", "Rsquare", "Resi"})
WINDOWS: Final = frozenset(
    {"Mean", "Sum", "Std", "Var", "Max", "Min", "Med", "Count", "IdxMax", "IdxMin", "Rank"}
)
PAIRED_WINDOWS: Final = frozenset({"Corr", "Cov"})
ORDERED: Final = frozenset({"Med", "Quantile"})
"""Operators that keep their window sorted, so that zeros with different signs lose their order."""
REMEMBERING: Final = ORDERED | PAIRED_WINDOWS | REGRESSIONS | {"Mean", "Sum", "Count", "Std", "Var"}
"""Operators whose value depends on days before their window."""


class Unsupported(Exception):  # noqa: N818 - it is a finding, and Qlib's to deal with
    """The part of an expression that is left to Qlib."""


class ValueKind(Enum):
    """The type of the values that an expression gives for each day."""

    NUMBER = auto()
    FLOAT = auto()
    TRUTH = auto()
    WHOLE = auto()
    """64-bit integers, the result of an If between two integers."""


@dataclass(frozen=True)
class Node:
    """An operator with its operands; a field has a name, a number its value, a window its days."""

    operator: str
    kind: ValueKind
    operands: tuple[Node, ...] = ()
    name: str = ""
    number: float = 0
    days: int = 0

    def __hash__(self) -> int:
        return self._hash

    def __post_init__(self) -> None:
        # Nodes are dictionary keys, and hashing a tree each time would walk through all of it.
        parts = (self.operator, self.operands, self.name, self.number, self.days)
        object.__setattr__(self, "_hash", hash(parts))

    _hash = 0

    @property
    def arrays(self) -> tuple[Node, ...]:
        """Return the operands that are not plain numbers."""
        return tuple(operand for operand in self.operands if operand.kind is not ValueKind.NUMBER)

    @property
    def extent(self) -> tuple[int, int]:
        """Return how many days Qlib loads before and after; the result may depend on fewer."""
        inner = [operand.extent for operand in self.arrays] or [(0, 0)]
        before, after = max(one for one, _ in inner), max(one for _, one in inner)
        if self.operator == "Ref":
            return max(before + self.days, before), max(after - self.days, after)
        return max(before + self.days - 1, before) if self.days else before, after

    @property
    def reach(self) -> int:
        """Return how many days back this operator looks, the day that leaves a window included."""
        return max(self.days, 0)

    @property
    def ahead(self) -> int:
        """Return how many days after a day its value may depend on."""
        inner = max([operand.ahead for operand in self.arrays], default=0)
        if self.operator == "Ref":
            return max(inner - self.days, 0)
        return inner - min(self.days, 0)

    @property
    def fields(self) -> frozenset[str]:
        """Return the dataset's fields that the expression reads."""
        inner = frozenset[str]().union(*(operand.fields for operand in self.arrays))
        return inner | {self.name} if self.operator == "Field" else inner


def parse(text: str) -> Node:
    """Return the tree of an expression; raise `Unsupported` for what is left to Qlib."""
    if MARK in text:
        raise Unsupported(f"the name {MARK}")
    try:
        tree = ast.parse(FIELD.sub(rf"{MARK}\1", text).strip(), mode="eval").body
        node = _node(tree)
    except (SyntaxError, RecursionError, ZeroDivisionError, OverflowError) as error:
        raise Unsupported("what cannot be read") from error
    if node.kind is ValueKind.NUMBER:
        raise Unsupported("a number alone")
    return node


def _node(tree: ast.expr) -> Node:  # noqa: PLR0911, RET503 - a table, whose end does not return
    match tree:
        case ast.Name(id=name) if name.startswith(MARK):
            return Node("Field", ValueKind.FLOAT, name=name.removeprefix(MARK).lower())
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _number(-_plain(_node(operand)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            return _arithmetic(ARITHMETIC[type(op)], _node(left), _node(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in LOGIC:
            return _call(LOGIC[type(op)], [_node(left), _node(right)])
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return _comparison(COMPARISONS[type(op)], _node(left), _node(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, [_node(argument) for argument in arguments])
    _leave_to_qlib(ast.unparse(tree).replace(MARK, "$")[:40])


def _number(value: float) -> Node:
    if abs(value) > LARGEST_NUMBER:
        _leave_to_qlib(f"the number {value}")
    # 1 equals 1.0 and 0.0 equals -0.0 in Python, but numpy gives other results: the name tells them apart.
    return Node("Number", ValueKind.NUMBER, name=f"{type(value).__name__} {value!r}", number=value)


def _plain(node: Node) -> float:
    if node.kind is not ValueKind.NUMBER:
        _leave_to_qlib("a sign before an expression")
    return node.number


def _arithmetic(name: str, left: Node, right: Node) -> Node:
    if left.kind is right.kind is ValueKind.NUMBER:
        if name not in FOLDED:
            _leave_to_qlib("a power of numbers")
        return _number(FOLDED[name](left.number, right.number))
    return _call(name, [left, right])


def _comparison(name: str, left: Node, right: Node) -> Node:
    if left.kind is ValueKind.NUMBER:
        name, left, right = MIRRORED[name], right, left
    return _call(name, [left, right])


def _call(name: str, given: list[Node]) -> Node:  # noqa: PLR0911 - a table
    kinds = [node.kind for node in given]
    if name in PAIRS and _are_floats(kinds, 2):
        return Node(name, ValueKind.FLOAT, tuple(given))
    if name in MIRRORED and _are_floats(kinds, 2):
        return Node(name, ValueKind.TRUTH, tuple(given))
    if name in {"And", "Or"} and kinds == [ValueKind.TRUTH, ValueKind.TRUTH]:
        return Node(name, ValueKind.TRUTH, tuple(given))
    if name == "Not" and kinds == [ValueKind.TRUTH]:
        return Node(name, ValueKind.TRUTH, tuple(given))
    if name in SINGLES and kinds == [ValueKind.FLOAT]:
        return Node(name, ValueKind.FLOAT, tuple(given))
    if name == "If" and len(kinds) == 3:  # noqa: PLR2004 - the condition and both sides
        return _choice(given)
    return _over_days(name, given, kinds)


def _are_floats(kinds: list[ValueKind], count: int) -> bool:
    return (
        len(kinds) == count
        and ValueKind.FLOAT in kinds
        and all(kind in (ValueKind.FLOAT, ValueKind.NUMBER) for kind in kinds)
    )


def _choice(given: list[Node]) -> Node:
    condition, *sides = given
    if condition.kind is ValueKind.NUMBER or any(
        side.kind not in (ValueKind.FLOAT, ValueKind.NUMBER) for side in sides
    ):
        _leave_to_qlib("an If of such parts")
    whole = all(side.kind is ValueKind.NUMBER and isinstance(side.number, int) for side in sides)
    return Node("If", ValueKind.WHOLE if whole else ValueKind.FLOAT, tuple(given))


def _over_days(name: str, given: list[Node], kinds: list[ValueKind]) -> Node:  # noqa: RET503
    one = kinds == [given[0].kind, ValueKind.NUMBER] if given else False
    if name in SHIFTS and kinds == [ValueKind.FLOAT, ValueKind.NUMBER]:
        return Node(name, ValueKind.FLOAT, (given[0],), days=_shift(given[1]))
    if name in REGRESSIONS and kinds == [ValueKind.FLOAT, ValueKind.NUMBER]:
        return Node(name, ValueKind.FLOAT, (given[0],), days=_window(given[1]))
    if name in WINDOWS and one and kinds[0] is not ValueKind.NUMBER:
        return Node(name, ValueKind.FLOAT, (given[0],), days=_window(given[1]))
    if name == "Quantile" and kinds == [ValueKind.FLOAT, ValueKind.NUMBER, ValueKind.NUMBER]:
        return Node(name, ValueKind.FLOAT, (given[0],), days=_window(given[1]), number=_share(given[2]))
    if name in PAIRED_WINDOWS and kinds == [ValueKind.FLOAT, ValueKind.FLOAT, ValueKind.NUMBER]:
        return Node(name, ValueKind.FLOAT, (given[0], given[1]), days=_window(given[2]))
    _leave_to_qlib(f"{name} of what it is given here" if name in KNOWN else name)


def _window(node: Node) -> int:
    if not isinstance(node.number, int) or node.number < 1:
        _leave_to_qlib(f"a window of {node.number} days")
    return node.number


def _shift(node: Node) -> int:
    if not isinstance(node.number, int) or node.number == 0:
        _leave_to_qlib(f"a shift by {node.number} days")
    return node.number


def _share(node: Node) -> float:
    if not 0 < node.number < 1:
        _leave_to_qlib(f"a quantile of {node.number}")
    return node.number


def _leave_to_qlib(what: str) -> NoReturn:
    raise Unsupported(what)


KNOWN: Final = (
    PAIRS
    | SINGLES
    | SHIFTS
    | REGRESSIONS
    | WINDOWS
    | PAIRED_WINDOWS
    | MIRRORED.keys()
    | {"And", "Or", "Not", "If", "Quantile"}
)
"""The operators that this engine computes."""
