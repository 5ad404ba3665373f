"""Qlib's expressions: what they may say, and how many days they look back and ahead.

Qlib makes Python of an expression and calls `eval` on it. So nothing passes here but numbers, arithmetic,
$fields and Qlib's own operators, each with the arguments that it takes. Not parsed by engine/expressions.py,
which supports only what the engine computes, says nothing of the rest and folds numbers as Python does.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.discovery.segments import Reach
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = 2_000
WIDEST_WINDOW: Final = 2_500
SHIFTS: Final = frozenset({"Ref", "Delta"})
"""The operators whose number of days may be negative: they look ahead."""
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
"""Each with its arguments: x an expression, n a number of days, q a share."""
ALPHABET: Final = re.compile(r"[A-Za-z0-9_$ .,()+\-*/<>=!&|]+")
WORD: Final = re.compile(r"(?<![\w.$])(\$?)([A-Za-z_]\w*)", re.ASCII)
FIELD: Final = "field_"
ARITHMETIC: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr)
COMPARISONS: Final = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)


class ExpressionError(ValueError):
    """Why an expression is none, as the second half of a sentence."""


def reach_of(expression: str) -> Reach:
    """Check an expression and measure it."""
    if not ALPHABET.fullmatch(expression) or len(expression) > LONGEST:
        raise ExpressionError(
            f"may hold letters, digits and $ _ . , ( ) + - * / < > = ! & | and {LONGEST:,} characters"
        )
    try:
        tree = ast.parse(WORD.sub(_known_word, expression.strip()), mode="eval").body
        found = _reach(tree)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ExpressionError(
            "cannot be read: see that its brackets are right, and quote it where it stands in a list of [ ]"
        ) from error
    if not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
        raise ExpressionError("names no field such as $close")
    return found


def fields_of(expression: str) -> set[str]:
    """Name the fields that a checked expression asks for, as their files are named."""
    return {word.lower() for dollar, word in WORD.findall(expression) if dollar}


def _known_word(match: re.Match[str]) -> str:
    dollar, word = match.groups()
    if dollar:
        return FIELD + word
    if word not in OPERATORS:
        raise ExpressionError(f'uses "{word}", which is no operator; {did_you_mean(word, OPERATORS)}')
    return word


def _reach(node: ast.expr) -> Reach:
    match node:
        case ast.Name(id=name) if name.startswith(FIELD):
            return Reach()
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return Reach()
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in OPERATORS:
            return _call(name, arguments)
    return Reach.widest(_reach(operand) for operand in _operands(node))


def _operands(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, ARITHMETIC):
            return [left, right]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, COMPARISONS):
            return [left, right]
    raise ExpressionError(
        f'holds "{ast.unparse(node).replace(FIELD, "$")[:40]}", '
        "which is neither a number, a $field, arithmetic nor an operator of Qlib's"
    )


def _call(name: str, arguments: list[ast.expr]) -> Reach:
    wanted = OPERATORS[name]
    if len(arguments) != len(wanted):
        raise ExpressionError(f"gives {name} {len(arguments)} arguments; it takes {len(wanted)}")
    inner = Reach.widest(_reach(one) for one, kind in zip(arguments, wanted, strict=True) if kind == "x")
    days = next((_days(name, one) for one, kind in zip(arguments, wanted, strict=True) if kind == "n"), 0)
    if "q" in wanted and not 0 <= _number(name, arguments[-1]) <= 1:
        raise ExpressionError(f"gives {name} a share outside of 0 to 1")
    before = days if name in SHIFTS else days - 1  # a window has its own day in it
    return Reach(inner.back + max(before, 0), inner.ahead + max(-days, 0))


def _days(name: str, node: ast.expr) -> int:
    days = _number(name, node)
    least = -WIDEST_WINDOW if name in SHIFTS else 1
    if not isinstance(days, int) or not least <= days <= WIDEST_WINDOW or days == 0:
        raise ExpressionError(
            f"gives {name} {days} days; write a whole number from {least} to {WIDEST_WINDOW}, not 0"
        )
    return days


def _number(name: str, node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise ExpressionError(f"gives {name} something else than a plain number where one is needed")
