"""Templates of the user's own, and what it takes to fill them in."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.spec import RunSpec, parse_spec
from qlib_shadow_runner.workflow.parsed import Workflow
from qlib_shadow_runner.workflow.prepare import RenderContext, Research, prepare
from qlib_shadow_runner.workflow.templates import Template, find_template

MakeDataset = Callable[..., Dataset]
RenderIt = Callable[..., Workflow]
PrepareIt = Callable[..., Research]
ROOT = Path(__file__).resolve().parents[4]
BUILT_IN = (ROOT / "config/qlib_shadow/workflow_us_lightgbm_alpha158_shadow.yaml").read_text()
HANDLER = """\
        class: {% if engine == "fast" %}Alpha158{% else %}QlibAlpha158{% endif %}
        module_path: qlib_shadow_runner.plugins.handlers
"""
"""The handler of the built-in template."""


def handler(path: str) -> tuple[str, str]:
    """Return the change of the built-in template to another handler."""
    module, _, name = path.rpartition(".")
    return HANDLER, f"        class: {name}\n        module_path: {module}\n"


def own(*changes: tuple[str, str]) -> Template:
    """Return the built-in template as one of the user's own, with other words in places."""
    text = BUILT_IN
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    return Template('ConfigMap "mine", key "workflow.yaml"', text)


def preparer(dataset: Dataset) -> PrepareIt:
    """Prepare for a dataset, whatever is not said being as ever."""

    def make(
        spec: object = None,
        template: Template | None = None,
        *,
        provider_uri: str = "/data/x",
        fingerprint: str = "f" * 64,
        threads: int = 2,
    ) -> Research:
        run = spec if isinstance(spec, RunSpec) else parse_spec(spec or {})
        context = RenderContext(provider_uri, fingerprint, threads)
        return prepare(run, template or find_template(run.workflow, None), dataset, context)

    return make


def indented(text: str, by: int) -> str:
    """Put a block where YAML expects it."""
    return textwrap.indent(textwrap.dedent(text), " " * by)
