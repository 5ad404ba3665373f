"""Qlib's expressions as trees: the one parser, for what may be evaluated as for what is computed here.

Qlib makes Python of an expression and calls `eval` on it. So only numbers, arithmetic, $fields and Qlib's own
operators pass, each with the arguments that it takes. Knows no data.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

LONGEST: Final = 2_000
LONGEST_WINDOW: Final = 2_500
LARGEST_NUMBER: Final = 1 << 53
ALPHABET: Final = re.compile(r"[A-Za-z0-9_$ .,()+\-*/<>=!&|]+")
WORD: Final = re.compile(r"(?<![\w.$])(\$?)([A-Za-z_]\w*)", re.ASCII)
MARK: Final = "field_"
"""Stands for $ while Python's parser reads the expression."""
INFIX: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Div: "Div",
    ast.Pow: "Power",
    ast.BitAnd: "And",
    ast.BitOr: "Or",
}
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
"""Python computes these of two numbers before Qlib sees them."""
PAIRS: Final = frozenset({"Add", "Sub", "Mul", "Div", "Power", "Greater", "Less"})
LOGIC: Final = frozenset({"And", "Or", "Not"})
SHIFTS: Final = frozenset({"Ref", "Delta"})
"""The operators whose number of days may be negative: they look ahead."""
REGRESSIONS: Final = frozenset({"Slope", "Rsquare", "Resi"})
WINDOWS: Final = frozenset(
    {"Mean", "Sum", "Std", "Var", "Max", "Min", "Med", "Count", "IdxMax", "IdxMin", "Rank"}
)
PAIRED_WINDOWS: Final = frozenset({"Corr", "Cov"})
OF_FLOATS: Final = SHIFTS | REGRESSIONS | PAIRED_WINDOWS | {"Abs", "Log", "Sign", "Quantile"}
ORDERED: Final = frozenset({"Med", "Quantile"})
"""Operators that keep their window sorted, so that zeros with different signs lose their order."""
REMEMBERING: Final = ORDERED | PAIRED_WINDOWS | REGRESSIONS | {"Mean", "Sum", "Count", "Std", "Var"}
"""What does not follow from its window alone."""
OPERATORS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("Abs", "Sign", "Log", "Not"), "x"),
    **dict.fromkeys(("Power", "Add", "Sub", "Mul", "Div", "Greater", "Less"), "xx"),
    **dict.fromkeys(("Gt", "Ge", "Lt", "Le", "Eq", "Ne", "And", "Or"), "xx"),
    "If": "xxx",
    **dict.fromkeys(("Ref", "Delta", "Mean", "Sum", "Std", "Var", "Skew", "Kurt", "Max", "Min"), "xn"),
    **dict.fromkeys(("IdxMax", "IdxMin", "Med", "Mad", "Rank", "Count", "Slope", "Rsquare", "Resi"), "xn"),
    **dict.fromkeys(("WMA", "EMA"), "xn"),
    "Quantile": "xnq",
    **dict.fromkeys(("Corr", "Cov"), "xxn"),
}
"""Qlib's operators with their arguments: x an expression, n a number of days, q a share."""


class ExpressionError(ValueError):
    """Why a text is not an expression, as the second half of a sentence."""


class Unsupported(Exception):  # noqa: N818 - it is a finding, and Qlib's to deal with
    """The part of an expression that is left to Qlib."""


class ValueKind(Enum):
    """The type of the values that an expression gives for each day."""

    NUMBER = auto()
    FLOAT = auto()
    TRUTH = auto()
    WHOLE = auto()
    """Whole numbers of 64 bits, as two numbers of an If make them."""
    QLIB = auto()
    """Left to Qlib: it is not certain that it would be the same here."""


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
    """Return the tree of an expression that can be computed here; any other is Unsupported."""
    try:
        node = read(text)
    except ExpressionError as error:
        raise Unsupported(str(error)) from error
    if node.kind is ValueKind.QLIB:
        raise Unsupported(text)
    return node


def read(text: str) -> Node:
    """Return the tree of an expression that Qlib may evaluate."""
    if not ALPHABET.fullmatch(text) or len(text) > LONGEST:
        raise ExpressionError(
            f"may hold letters, digits and $ _ . , ( ) + - * / < > = ! & | and {LONGEST:,} characters"
        )
    try:
        node = _node(ast.parse(WORD.sub(_known_word, text.strip()), mode="eval").body)
        fields = node.fields
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ExpressionError(
            "cannot be read: see that its brackets are right, and quote it where it stands in a list of [ ]"
        ) from error
    if not fields:
        raise ExpressionError("names no field such as $close")
    return node


def _known_word(match: re.Match[str]) -> str:
    dollar, word = match.groups()
    if dollar:
        return MARK + word
    if word not in OPERATORS:
        raise ExpressionError(f'uses "{word}", which is no operator; {did_you_mean(word, OPERATORS)}')
    return word


def _node(tree: ast.expr) -> Node:
    match tree:
        case ast.Name(id=name) if name.startswith(MARK):
            return Node("Field", ValueKind.FLOAT, name=name.removeprefix(MARK).lower())
        case ast.Constant() | ast.UnaryOp():
            return _signed(tree)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in INFIX:
            return _arithmetic(tree, INFIX[type(op)], _node(left), _node(right))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return _comparison(COMPARISONS[type(op)], _node(left), _node(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in OPERATORS:
            return _call(name, arguments)
    raise _foreign(tree)


def _foreign(tree: ast.expr) -> ExpressionError:
    return ExpressionError(
        f'holds "{_shown(tree)}", which is neither a number, a $field, arithmetic nor an operator of Qlib\'s'
    )


def _shown(tree: ast.expr) -> str:
    return ast.unparse(tree).replace(MARK, "$")[:40]


def _signed(tree: ast.expr) -> Node:
    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            node = _node(operand)
            if node.operator != "Number":
                raise ExpressionError(f'puts a sign before "{_shown(operand)}"; write -1 * instead')
            return _number(-node.number if isinstance(sign, ast.USub) else node.number)
    raise _foreign(tree)


def _number(value: float) -> Node:
    # 1 is 1.0 and 0.0 is -0.0 for Python, and numpy makes something else of each: the name tells them apart.
    kind = ValueKind.NUMBER if abs(value) <= LARGEST_NUMBER else ValueKind.QLIB
    return Node("Number", kind, name=f"{type(value).__name__} {value!r}", number=value)


def _arithmetic(tree: ast.expr, name: str, left: Node, right: Node) -> Node:
    if name == "Power" and not (left.fields or right.fields):
        raise _foreign(tree)  # Python would compute it, which may take for ever
    if name not in FOLDED or not left.operator == right.operator == "Number":
        return _applied(name, (left, right))
    try:
        return _number(FOLDED[name](left.number, right.number))
    except ArithmeticError as error:
        raise _foreign(tree) from error


def _comparison(name: str, left: Node, right: Node) -> Node:
    if left.kind is ValueKind.NUMBER:
        name, left, right = MIRRORED[name], right, left
    return _applied(name, (left, right))


def _call(name: str, arguments: list[ast.expr]) -> Node:
    wanted = OPERATORS[name]
    if len(arguments) != len(wanted):
        raise ExpressionError(f"gives {name} {len(arguments)} arguments; it takes {len(wanted)}")
    given = list(zip(wanted, arguments, strict=True))
    operands = tuple(_node(one) for kind, one in given if kind == "x")
    days = next((_days(name, one) for kind, one in given if kind == "n"), 0)
    share = next((_plain(name, one) for kind, one in given if kind == "q"), 0)
    if not 0 <= share <= 1:
        raise ExpressionError(f"gives {name} a share outside of 0 to 1")
    return _applied(name, operands, days, share)


def _days(name: str, tree: ast.expr) -> int:
    days = _plain(name, tree)
    least = -LONGEST_WINDOW if name in SHIFTS else 1
    if not isinstance(days, int) or not least <= days <= LONGEST_WINDOW or days == 0:
        raise ExpressionError(
            f"gives {name} {days} days; write a whole number from {least} to {LONGEST_WINDOW}, not 0"
        )
    return days


def _plain(name: str, tree: ast.expr) -> float:
    if not isinstance(tree.operand if isinstance(tree, ast.UnaryOp) else tree, ast.Constant):
        raise ExpressionError(f"gives {name} something else than a plain number where one is needed")
    return _signed(tree).number


def _applied(name: str, operands: tuple[Node, ...], days: int = 0, share: float = 0) -> Node:
    return Node(name, _kind(name, operands, share), operands, days=days, number=share)


def _kind(name: str, operands: tuple[Node, ...], share: float) -> ValueKind:
    kinds = {operand.kind for operand in operands}
    if name == "If":
        return _kind_of_if(*operands)
    if name == "Quantile" and share in (0, 1):
        return ValueKind.QLIB
    return next((kind for names, fit, kind in KINDS if name in names and fit(kinds)), ValueKind.QLIB)


def _kind_of_if(condition: Node, *sides: Node) -> ValueKind:
    if condition.kind in (ValueKind.NUMBER, ValueKind.QLIB) or not {side.kind for side in sides} <= FLOATS:
        return ValueKind.QLIB
    whole = all(side.kind is ValueKind.NUMBER and isinstance(side.number, int) for side in sides)
    return ValueKind.WHOLE if whole else ValueKind.FLOAT


FLOATS: Final = frozenset({ValueKind.FLOAT, ValueKind.NUMBER})
KINDS: Final[tuple[tuple[Container[str], Callable[[set[ValueKind]], bool], ValueKind], ...]] = (
    (PAIRS, lambda kinds: ValueKind.FLOAT in kinds and kinds <= FLOATS, ValueKind.FLOAT),
    (COMPARISONS.values(), lambda kinds: ValueKind.FLOAT in kinds and kinds <= FLOATS, ValueKind.TRUTH),
    (LOGIC, lambda kinds: kinds == {ValueKind.TRUTH}, ValueKind.TRUTH),
    (OF_FLOATS, lambda kinds: kinds == {ValueKind.FLOAT}, ValueKind.FLOAT),
    (WINDOWS, lambda kinds: kinds.isdisjoint({ValueKind.NUMBER, ValueKind.QLIB}), ValueKind.FLOAT),
)
"""Operators, the kinds of operands of which they are computed here, and what they give."""
