"""`spec.workflow.engine`: what the built-in template makes of it, and what one of the user's own must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.workflow.builders import RenderIt, own

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec.workflow import DEFAULT_ENGINE, Engine
from qlib_shadow_runner.workflow.engine import engine_of

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.templates import Template

CHOICE = (
    '{% if engine == "fast" %}qlib_shadow_runner.fast.handler'
    "{% else %}qlib_shadow_runner.training.handler{% endif %}"
)
ALWAYS_QLIB = own((CHOICE, "qlib.contrib.data.handler"))
DOTTED = own(
    (
        "class: Alpha158\n        # The same",
        "class: qlib_shadow_runner.fast.handler.Alpha158\n        # The same",
    )
)


@pytest.mark.parametrize("engine", Engine)
def test_the_built_in_template_names_the_handler_of_the_engine(render_it: RenderIt, engine: Engine):
    """Either one, and nothing else changes but the hash of the question."""
    workflow = render_it({"workflow": {"engine": engine}})
    assert engine_of(workflow.document) is engine


def test_without_a_word_it_is_the_default(render_it: RenderIt):
    """And the default is one of them."""
    assert engine_of(render_it().document) is DEFAULT_ENGINE


def test_ones_own_template_may_decide(render_it: RenderIt):
    """Where the manifest asks for none."""
    assert engine_of(render_it({}, ALWAYS_QLIB).document) is Engine.QLIB
    assert engine_of(render_it({}, DOTTED).document) is Engine.FAST


@pytest.mark.parametrize(
    ("asked", "template", "named"), [("fast", ALWAYS_QLIB, "qlib"), ("qlib", DOTTED, "fast")]
)
def test_a_template_that_does_not_follow_is_refused(
    render_it: RenderIt, asked: str, template: Template, named: str
):
    """Nothing that a manifest says is lost without a word."""
    with pytest.raises(StageError) as caught:
        render_it({"workflow": {"engine": asked}}, template)
    assert caught.value.reason is Reason.INVALID_WORKFLOW
    assert caught.value.message.startswith(
        f'spec.workflow.engine is {asked}, and ConfigMap "mine", key "workflow.yaml" names a handler of the '
        f"engine {named}; let its module_path follow"
    )
