"""Filling in a template: sandboxed, bounded, and with a note of what it took.

A template is somebody's text and is treated as such, whoever wrote it: the built-in one goes the same way.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.suggest import ended
from qlib_shadow_runner.workflow.document import LARGEST
from qlib_shadow_runner.workflow.grammar import GrammarError, check_grammar
from qlib_shadow_runner.workflow.parameters import SECTIONS

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.templates import Template

TEMPLATE_FRAME: Final = "<template>"
"""What Jinja calls a template without a file, in tracebacks."""


@dataclass(frozen=True)
class Filled:
    """The text, and the parameters that it is made of, such as model.num_leaves."""

    text: str
    used: frozenset[str]


class Section(Mapping[str, object]):
    """Parameters that belong together; remembers which were taken."""

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


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without a way out, and without a way to make much of little."""

    intercepted_binops = frozenset({"*"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply numbers; a text times a million is a text of a million."""
        if not all(isinstance(value, int | float) for value in (left, right)):
            raise jinja2.TemplateRuntimeError("only numbers can be multiplied")
        return super().call_binop(context, operator, left, right)


def fill(template: Template, parameters: Mapping[str, object]) -> Filled:
    """Fill in the template, or say where it is wrong."""
    used: set[str] = set()
    context = {
        name: Section(name, value, used) if name in SECTIONS and isinstance(value, Mapping) else value
        for name, value in parameters.items()
    }
    try:
        environment = _environment()
        check_grammar(environment.parse(template.text), context)
        text = _bounded(environment.from_string(template.text).generate(context))
    except GrammarError as error:
        _refuse(template, error.line, str(error))
    except jinja2.TemplateSyntaxError as error:
        _refuse(template, error.lineno, str(error.message))
    except Exception as error:  # noqa: BLE001 - whatever a template's own arithmetic comes to is its fault
        _refuse(template, _line(error), str(error) or type(error).__name__)
    return Filled(text, frozenset(used))


def _environment() -> Sandbox:
    environment = Sandbox(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # YAML, where tojson quotes; vetting follows
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_function"] = _dumps
    return environment


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


def _line(error: Exception) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == TEMPLATE_FRAME), 1)


def _refuse(template: Template, line: int, message: str) -> NoReturn:
    raise StageError(
        Reason.INVALID_WORKFLOW, f"{template.name}, line {line}: {ended(message)} Nothing was run."
    )
