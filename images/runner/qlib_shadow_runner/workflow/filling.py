"""Fill in a template: in a sandbox, with a limit on its size, and with a record of the parameters used.

No template is trusted; the built-in one takes the same way.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.yaml_limits import LARGEST
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean, ended, in_words
from qlib_shadow_runner.workflow.sandbox import Sandbox
from qlib_shadow_runner.workflow.templates import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qlib_shadow_runner.workflow.templates import Template


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
ROUND: Final = "round"
"""The only filter with an argument: the number of digits."""
RANGE: Final = "range"
LOOP: Final = "loop"


class GrammarError(ValueError):
    """What a template may not contain, as a sentence without its full stop, and the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def check_grammar(tree: nodes.Template, parameters: Mapping[str, object]) -> None:
    """Refuse Jinja that is not listed, and names that are not parameters."""
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
    if isinstance(node, nodes.Filter) and (len(node.args) > (node.name == ROUND) or node.kwargs):
        few = "only a number of digits" if node.name == ROUND else "no argument"
        raise GrammarError(node.lineno, f'the filter "{node.name}" takes {few} in a template')


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


TOO_DEEP: Final = (
    "it has too many brackets or blocks in each other, or too long an expression; write less in one"
)
TEMPLATE_FRAME: Final = "<template>"
"""Jinja's name in tracebacks for a template without a file."""


@dataclass(frozen=True)
class Filled:
    """A template's name, the text that came of it, its parameters, and which of them it used."""

    template: str
    text: str
    parameters: Mapping[str, Any]
    used: frozenset[str]
    """Parameters that have parts, by part, such as model.num_leaves."""


class Section(Mapping[str, object]):
    """A parameter with parts; records which parts a template reads."""

    def __init__(self, name: str, values: Mapping[str, object], used: set[str]) -> None:
        self._name, self._values, self._used = name, values, used

    def __getitem__(self, key: str) -> object:
        value = self._values[key]
        self._used.add(f"{self._name}.{key}")
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def fill(template: Template, parameters: Mapping[str, object]) -> Filled:
    """Return the filled-in template, or refuse it with the line that is wrong."""
    used: set[str] = set()
    context = {
        name: Section(name, value, used) if name in SECTIONS and isinstance(value, Mapping) else value
        for name, value in parameters.items()
    }
    try:
        sandbox = Sandbox()
        sandbox.policies["json.dumps_function"] = _dumps
        tree = sandbox.parse(template.text)
        check_grammar(tree, context)
        text = _bounded(sandbox.compiled(tree).generate(context))
    except GrammarError as error:
        _refuse(template, error.line, str(error))
    except jinja2.TemplateSyntaxError as error:
        _refuse(template, error.lineno, str(error.message))
    except (RecursionError, SyntaxError) as error:  # Python's, of what Jinja makes of the template
        _refuse(template, _line(error), TOO_DEEP)
    except Exception as error:  # noqa: BLE001 - whatever a template's own arithmetic comes to is its fault
        _refuse(template, _line(error), in_words(error))
    return Filled(template.name, text, parameters, frozenset(used))


def _dumps(value: object, **options: Any) -> str:
    return json.dumps(value, default=_as_json, **options)


def _as_json(value: object) -> object:
    return dict(value) if isinstance(value, Section) else str(value)


def _bounded(pieces: Iterator[str]) -> str:
    taken, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > LARGEST:
            raise jinja2.TemplateRuntimeError(f"it makes more than {LARGEST:,} characters")
        taken.append(piece)
    return "".join(taken)


def _line(error: Exception) -> int | None:
    """Return the template's line at which an error arose: filled in, being translated, or being parsed."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code.co_filename == TEMPLATE_FRAME:
            return line
        for value in (frame.f_locals.get("node"), frame.f_locals.get("self")):
            if isinstance(value, nodes.Node):
                return value.lineno
            if isinstance(value, Parser):
                return value.stream.current.lineno
    return None


def _refuse(template: Template, line: int | None, message: str) -> NoReturn:
    where = f"{template.name}, line {line}" if line else template.name
    raise StageError(Reason.INVALID_WORKFLOW, f"{where}: {ended(message)} Nothing was run.")
