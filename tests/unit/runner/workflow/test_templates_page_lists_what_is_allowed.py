"""docs/templates.md and docs/classes.md state what the allow-list and the sandbox allow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from jinja2 import nodes
from tests.unit.runner.documents.classes_page import PAGE as CLASSES_PAGE
from tests.unit.runner.documents.classes_page import page
from tests.unit.runner.workflow.workflow_builders import ROOT, own

from qlib_shadow_runner.engine.expressions import OPERATORS
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow import filling as grammar
from qlib_shadow_runner.workflow.allowed.analysis import EXCHANGE
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import LARGEST, SECTIONS, template_parameters

PAGE = (ROOT / "docs" / "templates.md").read_text()


def between(begin: str, end: str) -> str:
    """Cut a part out of the page."""
    return PAGE[PAGE.index(begin) + len(begin) : PAGE.index(end)]


def test_page_of_classes_is_current():
    """Every class with its arguments, and every argument with its range."""
    assert CLASSES_PAGE.read_text() == page(), "docs/classes.md is stale; run: make docs"


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
