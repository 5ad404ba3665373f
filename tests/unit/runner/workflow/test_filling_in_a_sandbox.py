"""The Jinja that a template may use, and the sentences about any other."""

from __future__ import annotations

from datetime import date

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.bounded_yaml import LARGEST
from qlib_shadow_runner.workflow.filling import Filled, fill
from qlib_shadow_runner.workflow.templates import Template

PARAMETERS = {
    "region": "us",
    "seed": 7,
    "codes": ["A", "B"],
    "instruments": {"market": "all", "filter_pipe": []},
    "model": {"num_leaves": 64, "max_depth": 8},
    "segments": {"train": (date(2020, 1, 1), date(2020, 6, 30))},
    "exchange": {"open_cost": 0.1},
}


def filled(text: str) -> Filled:
    """Fill in a text."""
    return fill(Template("template t", text), PARAMETERS)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ model.num_leaves }}", "64"),
        ("{{ model['num_leaves'] // 2 }}", "32"),
        ("{{ codes | tojson }}", '["A", "B"]'),
        ("{{ instruments | tojson }}", '{"filter_pipe": [], "market": "all"}'),
        ("{{ model | tojson }}", '{"max_depth": 8, "num_leaves": 64}'),
        ("{{ segments.train | tojson }}", '["2020-01-01", "2020-06-30"]'),
        ("{{ segments.train[0] }}", "2020-01-01"),
        ("{% if region == 'us' %}a{% else %}b{% endif %}", "a"),
        ("{% for n in [5, 10] %}{{ n * 2 }}{{ ', ' if not loop.last }}{% endfor %}", "10, 20"),
        ("{% for n in range(3) %}{{ n }}{% endfor %}", "012"),
        ("{{ [model.num_leaves, 31] | min }}", "31"),
        ("{# said #}x", "x"),
    ],
)
def test_values_conditions_and_loops_are_filled_in(text: str, result: str):
    """This is all the Jinja that a workflow needs."""
    assert filled(text).text == result


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("{{ model.num_leaves }}", {"model.num_leaves"}),
        ("{% if region == 'cn' %}{{ model.num_leaves }}{% endif %}", set()),
        ("{{ model | tojson }}", {"model.num_leaves", "model.max_depth"}),
        ("{{ seed }}", set()),
    ],
    ids=["one", "one that was not reached", "all of them", "none that has parts"],
)
def test_used_parameters_are_recorded(text: str, used: set[str]):
    """A parameter in a branch that is not rendered is not used."""
    assert filled(text).used == used


REFUSED = {
    "an unknown name": (
        "a\n{{ sed }}",
        'line 2: "sed" is no parameter; did you mean "seed"? Nothing was run.',
    ),
    "an unknown part": (
        "{{ model.num_leafs }}",
        '"model.num_leafs" is no parameter; did you mean "model.num_leaves"?',
    ),
    "an unknown part by its key": ("{{ model['depth'] }}", '"model.depth" is no parameter'),
    "an unknown name that is never reached": ("{% if 0 %}{{ sed }}{% endif %}", '"sed" is no parameter'),
    "an unknown name with a default": ("{{ sed | default(1) }}", '"default"'),
    "the environment": ("{{ self }}", '"self" is no parameter'),
    "a way to the interpreter": ("{{ ''.__class__.__mro__ }}", "is unsafe"),
    "a method": ("{{ codes.append(1) }}", "only range(…) can be called"),
    "a global of Jinja": ("{{ cycler('a') }}", "only range(…) can be called"),
    "a format": ("{{ '%1000000000d' % 1 }}", "% is not allowed"),
    "an assignment": ("{% set a = 1 %}", "{% set %} is not allowed"),
    "a block that is assigned": ("{% set a %}x{% endset %}", "{% set %} is not allowed"),
    "a macro": ("{% macro m() %}{{ m() }}{% endmacro %}", "{% macro %} is not allowed"),
    "another file": ("{% include '/etc/passwd' %}", "{% include %} is not allowed"),
    "an import": ("{% import 'os' as os %}", "{% import %} is not allowed"),
    "a base": ("{% extends 'x' %}", "{% extends %} is not allowed"),
    "a loop in a loop": (
        "{% for a in range(9) %}{% for b in range(9) %}x{% endfor %}{% endfor %}",
        "a loop inside of a loop is not allowed",
    ),
    "a loop that calls itself": ("{% for a in codes recursive %}x{% endfor %}", "a loop inside of a loop"),
    "a text a billion times": ("{{ 'a' * 1000000000 }}", "only numbers can be multiplied"),
    "a list a billion times": ("{{ ([1] * 1000000000) | length }}", "only numbers can be multiplied"),
    "a power": ("{{ 9 ** 9 ** 9 }}", "** is not allowed"),
    "too long a range": ("{% for a in range(10000000) %}x{% endfor %}", "Range too big"),
    "too much of it": (
        "{% for a in range(99999) %}" + "x" * 100 + "{% endfor %}",
        f"it makes more than {LARGEST:,} characters",
    ),
    "another filter": ("{{ 'x' | center(1000000000) }}", 'there is no filter "center"'),
    "a division by nothing": ("\n\n{{ 1 / 0 }}", "line 3: division by zero"),
    "apples and oranges": ("{{ seed + codes }}", "unsupported operand"),
    "an end that is missing": ("{% if 1 %}", "Unexpected end of template"),
    "a brace that is missing": ("{{ seed }", "line 1: unexpected '}'"),
    "brackets without end": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_other_jinja_is_refused_with_its_line(text: str, sentence: str):
    """With the reason and the template's name."""
    with pytest.raises(StageError) as caught:
        filled(text)
    assert caught.value.message.startswith("template t, line ")
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.INVALID_WORKFLOW
