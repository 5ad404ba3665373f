"""From the spec, a plan and a template to the exact file that qrun is given, and the hash of its question."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.workflow.agreement import check_agreement, check_nothing_is_lost
from qlib_shadow_runner.workflow.filling import fill
from qlib_shadow_runner.workflow.parts import check_engine
from qlib_shadow_runner.workflow.templates import template_parameters
from qlib_shadow_runner.workflow.vetting import vet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.discovery.research_plan import ResearchPlan
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template

MACHINE_DEPENDENT: Final = (
    ("qlib_init", "provider_uri"),
    ("qlib_init", "kernels"),
    ("task", "model", "kwargs", "num_threads"),
)
"""What changes from machine to machine but not the answer; the fingerprint stands for the path."""


@dataclass(frozen=True)
class RenderContext:
    """What a workflow needs to know of where it runs."""

    provider_uri: str
    fingerprint: str
    threads: int


@dataclass(frozen=True)
class Workflow:
    """The file's text, what it says, and the identity of its question."""

    text: str
    document: Mapping[str, object]
    config_hash: str

    @property
    def sha256(self) -> str:
        """Hash the exact bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render(spec: RunSpec, plan: ResearchPlan, template: Template, render_context: RenderContext) -> Workflow:
    """Fill in, vet, hold to the question, and hash."""
    parameters = template_parameters(spec, plan, render_context.provider_uri, render_context.threads)
    filled = fill(template, parameters)
    document = vet(filled.text)
    check_agreement(document, spec, plan, parameters)
    check_nothing_is_lost(spec, filled, template.name)
    check_engine(document, spec, template.name)
    return Workflow(filled.text, document, config_hash(document, render_context.fingerprint))


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
