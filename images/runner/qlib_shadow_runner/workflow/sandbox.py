"""Jinja in which a template reaches no Python, and cannot take much time or memory.

A few lines can ask for hours or gigabytes: by a list of long lists, by a loop around one, by a number of
digits. So everything that a template reads or makes takes its size from one limit beforehand.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, TypeGuard, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

Value = TypeVar("Value")

MOST_WORK: Final = 4_000_000
"""Values and characters; a list of 8,000 symbols takes a twentieth of it, by `tojson` or by a loop."""
GREATEST: Final = 10**308
"""As a float; a product of many numbers could have a million digits."""
MOST_DIGITS: Final = 15
"""Digits behind the point, which is what a float has."""
CALCULATIONS: Final = frozenset({"+", "-", "*", "/", "//"})
COUNTED, ROUNDS = "counted", "rounds"
"""Filters of this module alone: the grammar refuses them in a template."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja for one template."""

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # YAML, in which tojson quotes; vetting follows
            keep_trailing_newline=True,
            finalize=self.counted,
        )
        self.intercepted_binops = CALCULATIONS
        self._left = MOST_WORK
        self.filters |= {COUNTED: self.counted, ROUNDS: self.rounds, "round": rounded}
        self.tests |= {"odd": odd, "even": even, "divisibleby": divisible_by}

    def compiled(self, tree: nodes.Template) -> jinja2.Template:
        """Return a template whose every step is counted."""
        _Counting().visit(tree)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # Python's, of 1[:]; filling it in is an error
            tree.set_environment(self)
            return self.from_string(tree)

    def counted(self, value: Value) -> Value:
        """Return the value after taking its size, with everything that is in it."""
        waiting: list[object] = [value]
        while waiting:
            one = waiting.pop()
            self._take(1 + _size(one))
            if isinstance(one, list | tuple):
                waiting.extend(one)
            elif isinstance(one, dict):
                waiting.extend(one.values())
        return value

    def rounds(self, values: Value, body: int) -> Value:
        """Return what a loop goes over, after taking all its rounds, each of so many nodes."""
        self._take(_size(values) * body)
        return values

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate; only numbers are multiplied, since a text times a million would fill the memory."""
        if operator == "*" and not (_is_number(left) and _is_number(right)):
            raise jinja2.TemplateRuntimeError("only numbers can be multiplied")
        self.counted((left, right))
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > GREATEST:
            raise jinja2.TemplateRuntimeError("a number has more than 308 digits; write a smaller one")
        return result

    def _take(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise jinja2.TemplateRuntimeError(
                f"it takes more than {MOST_WORK:,} steps to fill in; loop over fewer values, and "
                "write a long list only where it is used"
            )


class _Counting(NodeTransformer):
    """Puts the filters of this module around every value that the sandbox would not see otherwise."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's name
        body = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, ROUNDS, nodes.Const(body))
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        assert node.node is not None, "there is no {% filter %}"
        node.node = _filtered(node.node, COUNTED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, COUNTED) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filtered(node.expr, COUNTED)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, COUNTED)
        return node


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def rounded(value: object, digits: object = 0) -> object:
    """Return a number rounded to so many digits: with a billion of them it would fill the memory."""
    if not _is_number(value):
        raise jinja2.TemplateRuntimeError("only a number can be rounded")
    if not isinstance(digits, int) or not 0 <= digits <= MOST_DIGITS:
        raise jinja2.TemplateRuntimeError(f"round takes 0 to {MOST_DIGITS} digits")
    return round(value, digits)


def odd(value: object) -> bool:
    """Return whether a number is odd."""
    return not divisible_by(value, 2)


def even(value: object) -> bool:
    """Return whether a number is even."""
    return divisible_by(value, 2)


def divisible_by(value: object, divisor: object) -> bool:
    """Return whether a number is divisible; Jinja's test would use a text as a format of any width."""
    if not (isinstance(value, int) and isinstance(divisor, int)):
        raise jinja2.TemplateRuntimeError("only a whole number can be odd, even or divisible")
    return value % divisor == 0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | tuple | range | dict) else 1
