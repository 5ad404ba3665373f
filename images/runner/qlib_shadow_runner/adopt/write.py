"""The text of a template and of a manifest.

A template is written by the library that reads it, so that a text that looks like a number to YAML is quoted.
Parameters are written as words that occur nowhere else, and become Jinja in the finished text.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML

from qlib_shadow_runner.contract import API_VERSION, KIND, WORKFLOW_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDEST: Final = 1 << 16
"""Columns of a line, so that no expression is broken."""
INDENT: Final = " " * 4


@dataclass(frozen=True)
class Parameter:
    """A value that the runner fills in: the Jinja expression without its brackets."""

    expression: str


def template_text(document: Mapping[str, object]) -> str:
    """Return a template that holds a document with parameters in it."""
    word = "parameter"
    while any(word in text for text in _texts(document)):
        word += "_"
    found: list[Parameter] = []
    text = _dumped(_with_words(document, word, found))
    for number, parameter in reversed(list(enumerate(found))):  # 12 before 1
        text = text.replace(f"{word}{number}", f"{{{{ {parameter.expression} }}}}")
    return text


def manifest_text(name: str, template: str, spec: Mapping[str, object], origin: str) -> str:
    """Return a file with the template in a ConfigMap and the run that names it."""
    run: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
    lines = "".join(f"{INDENT}{line}\n" if line else "\n" for line in template.splitlines())
    return (
        f"# Adopted by qlib-shadow from {origin}.\n"
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  {WORKFLOW_FILE}: |\n{lines}"
        f"---\n{_dumped(run, short_in_one_line=True)}"
    )


def _with_words(value: object, word: str, found: list[Parameter]) -> object:
    if isinstance(value, Parameter):
        found.append(value)
        return f"{word}{len(found) - 1}"
    if isinstance(value, dict):
        return {key: _with_words(one, word, found) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_words(one, word, found) for one in value]
    return value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (str(key), *_texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)


def _dumped(value: Any, *, short_in_one_line: bool = False) -> str:
    dumper: Any = YAML(typ="safe", pure=True)
    dumper.default_flow_style = None if short_in_one_line else False
    dumper.sort_base_mapping_type_on_output = False
    dumper.allow_unicode = False
    dumper.width = WIDEST
    stream = io.StringIO()
    dumper.dump(value, stream)
    return stream.getvalue().rstrip("\n") + "\n"
