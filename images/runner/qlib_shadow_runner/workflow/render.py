"""From spec and dataset to the exact file that qrun is given, and to the hash of the question it asks."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import jinja2

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.parameters import template_parameters
from qlib_shadow_runner.workflow.templates import read_template
from qlib_shadow_runner.workflow.vetting import vet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.discovery.plan import ResearchPlan
    from qlib_shadow_runner.spec import RunSpec

MACHINE_DEPENDENT: Final = (
    ("qlib_init", "provider_uri"),
    ("qlib_init", "kernels"),
    ("task", "model", "kwargs", "num_threads"),
)
"""What changes from machine to machine but not the answer; the fingerprint stands for the path."""


@dataclass(frozen=True)
class Workflow:
    """The file's text and its identity."""

    text: str
    config_hash: str

    @property
    def sha256(self) -> str:
        """Hash the exact bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render(
    spec: RunSpec, plan: ResearchPlan, *, provider_uri: str, fingerprint: str, threads: int
) -> Workflow:
    """Render, vet and hash."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, where tojson quotes; vetting follows
        keep_trailing_newline=True,
    )
    try:
        template = environment.from_string(read_template(spec.workflow.template))
        text = template.render(template_parameters(spec, plan, provider_uri, threads))
    except jinja2.TemplateError as error:
        raise StageError(Reason.INVALID_WORKFLOW, f"template {spec.workflow.template}: {error}") from error
    return Workflow(text, config_hash(vet(text), fingerprint))


def config_hash(workflow: Mapping[str, object], fingerprint: str) -> str:
    """Hash the question: the same on a laptop and in a cluster, different when the answer may differ."""
    question: dict[str, object] = copy.deepcopy(dict(workflow))
    for path in MACHINE_DEPENDENT:
        _drop(question, path)
    canonical = json.dumps(
        {"workflow": question, "dataset_fingerprint": fingerprint},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        default=str,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _drop(document: object, path: tuple[str, ...]) -> None:
    *parents, last = path
    for key in parents:
        document = document.get(key) if isinstance(document, dict) else None
    if isinstance(document, dict):
        document.pop(last, None)
