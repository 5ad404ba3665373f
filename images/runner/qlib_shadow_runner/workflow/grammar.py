"""What a template may say: values, conditions and one loop at a time; nothing that could run away.

Jinja can call, assign and repeat without end. A template fills in values, and what it needs for that is
little enough to be listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from jinja2 import nodes

from qlib_shadow_runner.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Tuple, nodes.List, nodes.If, nodes.CondExpr, nodes.For, nodes.Call, nodes.Filter,
    nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Keyword,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Neg, nodes.Pos,
)  # fmt: skip
FILTERS: Final = frozenset(
    {"tojson", "int", "float", "round", "abs", "min", "max", "length", "first", "last"}
)
TESTS: Final = frozenset({"none", "string", "number", "odd", "even", "divisibleby"})
RANGE: Final = "range"
LOOP: Final = "loop"


class GrammarError(ValueError):
    """What a template must not say, as a sentence without its end, and the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def check_grammar(tree: nodes.Template, parameters: Mapping[str, object]) -> None:
    """Refuse what is not listed, and names that are no parameters."""
    targets = [target for loop in tree.find_all(nodes.For) for target in _with_parts(loop.target)]
    local = {target.name for target in targets if isinstance(target, nodes.Name)}
    for node in _with_parts(tree):
        if not isinstance(node, ALLOWED):
            raise GrammarError(node.lineno, f"{_called(node)} is not allowed in a template")
        if isinstance(node, nodes.Filter | nodes.Test):
            _check_named(node)
        elif isinstance(node, nodes.Call) and not _is_range(node):
            raise GrammarError(node.lineno, "only range(…) can be called in a template")
        elif isinstance(node, nodes.For):
            _check_loop(node)
        elif isinstance(node, nodes.Name) and node.ctx == "load":
            _check_name(node, {*parameters, *local, RANGE, *([LOOP] if local else [])})
        elif isinstance(node, nodes.Getattr | nodes.Getitem):
            _check_member(node, parameters, local)


def _with_parts(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from node.find_all(nodes.Node)


def _check_named(node: nodes.Filter | nodes.Test) -> None:
    kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
    if node.name not in known:
        raise GrammarError(node.lineno, f'there is no {kind} "{node.name}"; {did_you_mean(node.name, known)}')


def _is_range(node: nodes.Call) -> bool:
    return isinstance(node.node, nodes.Name) and node.node.name == RANGE


def _check_loop(node: nodes.For) -> None:
    if node.recursive or any(True for _ in node.find_all(nodes.For)):
        raise GrammarError(node.lineno, "a loop inside of a loop is not allowed in a template")


def _check_name(node: nodes.Name, known: set[str]) -> None:
    if node.name not in known:
        raise GrammarError(
            node.lineno, f'"{node.name}" is no parameter; {did_you_mean(node.name, known - {RANGE, LOOP})}'
        )


def _check_member(
    node: nodes.Getattr | nodes.Getitem, parameters: Mapping[str, object], local: set[str]
) -> None:
    if not isinstance(node.node, nodes.Name) or node.node.name in local:
        return
    section = parameters.get(node.node.name)
    member = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
    if isinstance(section, Mapping) and isinstance(member, str) and member not in section:
        whole = f"{node.node.name}.{member}"
        known = {f"{node.node.name}.{key}" for key in section}
        raise GrammarError(node.lineno, f'"{whole}" is no parameter; {did_you_mean(whole, known)}')


def _called(node: nodes.Node) -> str:
    names = {
        "Assign": "{% set %}",
        "AssignBlock": "{% set %}",
        "Macro": "{% macro %}",
        "Include": "{% include %}",
        "Import": "{% import %}",
        "FromImport": "{% import %}",
        "Extends": "{% extends %}",
        "Block": "{% block %}",
        "Concat": "~",
        "Mod": "%",
        "Pow": "**",
        "Dict": "{…}",
    }
    return names.get(type(node).__name__, type(node).__name__)
