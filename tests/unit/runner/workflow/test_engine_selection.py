"""`spec.workflow.engine`, in the built-in template and in a user's template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.workflow.workflow_builders import BUILT_IN, HANDLER, PrepareIt, RenderIt, handler, own

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import DEFAULT_ENGINE, Engine
from qlib_shadow_runner.discovery.lives import Lives
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.description import describe_research

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.templates import Template

_, _, STRATEGY = re.findall(r'{% if engine == "fast" %}.*?{% endif %}', BUILT_IN)
"""The last of the conditions within a line."""
LIVES = Lives(ended=0, instrument_years=0.0)
QLIBS_FEATURES = handler("qlib.contrib.data.handler.Alpha158")
OUR_FEATURES = handler("qlib_shadow_runner.plugins.handlers.Alpha158")
DOTTED = (HANDLER, "        class: qlib_shadow_runner.plugins.handlers.Alpha158\n        module_path: qlib\n")
QLIBS_STRATEGY = (STRATEGY, "qlib.contrib.strategy.signal_strategy")
PARTS = ("features", "analysis", "strategy", "executor", "exchange")
CLASSES = (
    "qlib_shadow_runner.plugins.handlers",
    "qlib_shadow_runner.plugins.backtest.records",
    "qlib_shadow_runner.plugins.backtest.strategy",
    "qlib_shadow_runner.plugins.backtest.executor",
    "qlib_shadow_runner.plugins.backtest.exchange",
)


@pytest.mark.parametrize("engine", Engine)
def test_built_in_template_uses_the_chosen_engine_for_every_part(render_it: RenderIt, engine: Engine):
    """All parts are of one engine."""
    assert render_it({"workflow": {"engine": engine}}).engines == dict.fromkeys(PARTS, engine)


def test_default_engine_is_fast_and_named_by_class_path(render_it: RenderIt):
    """The file alone shows the engine; setting it explicitly gives the same file."""
    workflow = render_it()
    assert DEFAULT_ENGINE is Engine.FAST
    assert [f"module_path: {named}\n" in workflow.text for named in CLASSES] == [True] * len(CLASSES)
    assert workflow.text == render_it({"workflow": {"engine": "fast"}}).text


def test_engine_changes_the_config_hash(prepare_it: PrepareIt):
    """The figures are equal, but the file names the engine, and the hash is over the file."""
    assert prepare_it({"workflow": {"engine": "qlib"}}).config_hash != prepare_it().config_hash


MIXED: dict[str, tuple[Template, set[str]]] = {
    "our features by a dotted class": (own(DOTTED), set()),
    "Qlib's features": (own(QLIBS_FEATURES), {"features"}),
    "Qlib's strategy on our exchange": (own(QLIBS_STRATEGY), {"strategy"}),
    "both": (own(QLIBS_FEATURES, QLIBS_STRATEGY), {"features", "strategy"}),
}


@pytest.mark.parametrize(("template", "qlibs"), MIXED.values(), ids=MIXED)
def test_user_template_may_mix_engines_and_metadata_names_them(
    prepare_it: PrepareIt, template: Template, qlibs: set[str]
):
    """If the manifest does not set an engine."""
    spec = parse_spec({})
    told = describe_research(spec.workflow, prepare_it(spec, template), LIVES, synthetic=False)["engines"]
    assert told == {name: "qlib" if name in qlibs else "fast" for name in PARTS}


REFUSED: dict[str, tuple[str, Template, str]] = {
    "Qlib's features": ("fast", own(QLIBS_FEATURES), "features"),
    "two of Qlib's": ("fast", own(QLIBS_FEATURES, QLIBS_STRATEGY), "features, strategy"),
    "our features": ("qlib", own(OUR_FEATURES), "features"),
    "our features by a dotted class": ("qlib", own(DOTTED), "features"),
}


@pytest.mark.parametrize(("asked", "template", "parts"), REFUSED.values(), ids=REFUSED)
def test_template_with_parts_of_another_engine_is_refused(
    render_it: RenderIt, asked: str, template: Template, parts: str
):
    """A value of the manifest is never ignored silently."""
    with pytest.raises(StageError) as caught:
        render_it({"workflow": {"engine": asked}}, template)
    assert caught.value.reason is Reason.INVALID_WORKFLOW
    assert caught.value.message == (
        f'spec.workflow.engine is {asked}, and ConfigMap "mine", key "workflow.yaml" has another engine\'s '
        f'{parts}; let each class path follow {{% if engine == "fast" %}}, or remove engine from the '
        "manifest. Nothing was run."
    )
