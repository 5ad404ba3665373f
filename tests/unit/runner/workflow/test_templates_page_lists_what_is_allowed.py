"""docs/templates.md: its tables are generated from the allow-list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from jinja2 import nodes
from tests.unit.runner.workflow.workflow_builders import ROOT, own

from qlib_shadow_runner.engine.expressions import OPERATORS
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow import filling as grammar
from qlib_shadow_runner.workflow.allowed.analysis import EXCHANGE
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.shapes import Keys
from qlib_shadow_runner.workflow.templates import LARGEST, SECTIONS, template_parameters
from qlib_shadow_runner.workflow.vetting import GROUPS_OF_CLASSES

PAGE = (ROOT / "docs" / "templates.md").read_text()


def table(*rows: tuple[str, ...]) -> str:
    """Write a table as the page has it."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def arguments(takes: Keys) -> str:
    """Return the arguments of a class; needed ones are bold."""
    named = [f"**`{name}`**" if name in takes.needs else f"`{name}`" for name in takes.fields]
    return ", ".join(named) or "nothing"


def classes() -> str:
    """Make the tables of all classes."""
    parts = []
    for group in GROUPS_OF_CLASSES:
        rows = [
            (f"`{name}`", f"`{module}`", arguments(takes)) for (module, name), takes in group.classes.items()
        ]
        parts.append(f"**{group.what}**\n\n" + table(("class", "module", "may be given"), *rows))
    return "\n".join(parts)


def values() -> str:
    """Make the table of all arguments."""
    found: dict[str, set[str]] = {}
    for group in GROUPS_OF_CLASSES:
        for takes in group.classes.values():
            for name, words in _plain(takes):
                found.setdefault(name, set()).add(words)
    rows = [(f"`{name}`", "; ".join(sorted(words))) for name, words in sorted(found.items())]
    return table(("argument", "what it may be"), *rows)


def _plain(takes: Keys) -> Iterator[tuple[str, str]]:
    for name, shape in takes.fields.items():
        if isinstance(shape, Keys):
            yield from _plain(shape)
        elif shape.words not in ("", *(group.words for group in GROUPS_OF_CLASSES)):
            yield name, shape.words


def between(begin: str, end: str) -> str:
    """Cut a part out of the page."""
    return PAGE[PAGE.index(begin) + len(begin) : PAGE.index(end)]


def test_page_lists_every_class_with_its_arguments():
    """If this fails, copy what it expects."""
    assert between("<!-- classes -->\n", "<!-- /classes -->") == classes()


def test_page_lists_every_argument_with_its_range():
    """If this fails, copy what it expects."""
    assert between("<!-- arguments -->\n", "<!-- /arguments -->") == values()


def test_page_lists_exactly_the_parameters():
    """By its whole name."""
    parameters = rehearsed_parameters()
    named = set(
        re.findall(r"^\| `([a-z0-9_.]+)` \|", between("## Parameters", "## What a template"), re.MULTILINE)
    )
    assert named == parameters


def rehearsed_parameters() -> set[str]:
    """Return the names that a template may use, with those of their parts."""
    spec = parse_spec({})
    parameters = template_parameters(spec, render_without_data(spec, own()).plan, "/data/x", 1)
    return {whole for name, value in parameters.items() for whole in _names(name, value)}


def _names(name: str, value: object) -> Iterator[str]:
    if name in SECTIONS and isinstance(value, Mapping):
        yield from (f"{name}.{part}" for part in value)
    else:
        yield name


def test_page_lists_every_operator_filter_and_limit():
    """By name."""
    for word in (*OPERATORS, *grammar.FILTERS, *grammar.TESTS, "range"):
        assert f"`{word}`" in PAGE, word
    assert f"{LARGEST // 1024} KiB" in PAGE
    assert EXCHANGE.needs == {"deal_price", "open_cost", "close_cost", "min_cost"}
    assert nodes.For in grammar.ALLOWED
