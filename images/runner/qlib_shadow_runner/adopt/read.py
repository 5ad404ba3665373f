"""Read a workflow file as qrun reads it: variables of the environment first, then YAML with its anchors.

The file is untrusted: it is read to a limit, filled in by the sandbox of the templates, and measured before
it is built. Other than for qrun, a variable that is not set is an error and not an empty text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import nodes

from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.bounded_yaml import Unreadable, load_bounded
from qlib_shadow_runner.workflow.filling import fill
from qlib_shadow_runner.workflow.read_yaml import MARKS
from qlib_shadow_runner.workflow.templates import LARGEST, Template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASE: Final = "BASE_CONFIG_PATH"


@dataclass(frozen=True)
class Original:
    """A workflow file of plain qrun."""

    document: Mapping[str, Any]
    variables: Mapping[str, str]
    """The variables of the environment that were filled in."""


def read_original(path: Path, environ: Mapping[str, str]) -> Original:
    """Return the content of a workflow file, or refuse it."""
    text = _text_of(path)
    variables = _variables_of(text, environ)
    filled = _filled(text, variables) if any(mark in text for mark in MARKS) else text
    for mark in MARKS:
        if mark in filled:
            raise RefusedError(f'still holds "{mark}" after its variables are filled in')
    try:
        document = load_bounded(filled, LARGEST)
    except Unreadable as fault:
        raise RefusedError(str(fault)) from fault
    return Original(_checked(document), variables)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise RefusedError(f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise RefusedError(f"is larger than {LARGEST:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError("cannot be read: it is not text") from error


def _variables_of(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        found = list(jinja2.Environment(autoescape=True).parse(text).find_all(nodes.Name))
    except jinja2.TemplateSyntaxError as error:
        raise RefusedError(f"line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise RefusedError("has too long an expression between {{ and }}, or too many brackets") from error
    names = {one.name for one in found if one.ctx == "load"} - {
        one.name for one in found if one.ctx == "store"
    }
    names -= {"range", "loop"}
    for name in sorted(names - environ.keys()):
        line = next((n for n, one in enumerate(text.splitlines(), 1) if name in one), 1)
        raise RefusedError(
            f"line {line}: the environment has no variable {name}, which qrun would take for an empty text; "
            f"set it as for qrun, for example: {name}=… qlib-shadow adopt FILE"
        )
    return {name: environ[name] for name in sorted(names)}


def _filled(text: str, variables: Mapping[str, str]) -> str:
    try:
        return fill(Template("it", text), variables).text
    except StageError as fault:
        sentence = fault.message.removeprefix("it, ").removesuffix(" Nothing was run.").removesuffix(".")
        raise RefusedError(sentence) from fault


def _checked(document: object) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise RefusedError("is not a workflow for qrun, which is a mapping with qlib_init and task")
    if "kind" in document and "apiVersion" in document:
        raise RefusedError(
            "is a Kubernetes manifest and not a workflow for qrun; qlib-shadow run takes it as it is"
        )
    if BASE in document:
        raise RefusedError(f"builds on another file by {BASE}; write what it takes from there into this one")
    if not isinstance(document.get("task"), dict):
        raise RefusedError(
            "is not a workflow for qrun: it has no section task with model, dataset and record"
        )
    return document
