"""Finding a run's template: a built-in one by its name, or the text of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import ENV_TEMPLATE, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract.spec import ConfigMapRef, WorkflowSpec

TEMPLATES: Final[Mapping[str, str]] = {
    "lightgbm-alpha158": "workflow_us_lightgbm_alpha158_shadow.yaml",
}
"""The name that a manifest uses, and its file."""
PACKAGE: Final = Path(__file__).resolve().parents[1]
HOMES: Final = (PACKAGE / "workflows", PACKAGE.parents[2] / "config" / "qlib_shadow")
"""Inside a wheel, and beside images/ in a checkout."""
LARGEST: Final = 64 * 1024
"""Bytes of a template of one's own; the kernel starts no process with a variable of more than twice that."""


@dataclass(frozen=True)
class Template:
    """A text to be filled in, and what to call it in a sentence."""

    name: str
    text: str


def find_template(workflow: WorkflowSpec, environ: Mapping[str, str]) -> Template:
    """Give the template that the spec names; one's own comes by the environment."""
    if workflow.config_map is None:
        return Template(f"template {workflow.template}", read_template(workflow.template))
    return own_template(workflow.config_map, environ.get(ENV_TEMPLATE))


def own_template(ref: ConfigMapRef, text: str | None) -> Template:
    """Take a template of the user's own, if there is one."""
    if text is None:
        _refuse(
            f"{ref}, which spec.workflow.configMapRef names, was not handed to the stage. "
            "The ConfigMap must be in the run's namespace and have this key."
        )
    if not text.strip():
        _refuse(f"{ref} is empty. Write a workflow template into it.")
    size = len(text.encode())
    if size > LARGEST:
        _refuse(f"{ref} holds {size:,} bytes, and a template may have {LARGEST:,}. Shorten it.")
    return Template(str(ref), text)


def read_template(name: str) -> str:
    """Read a built-in template."""
    if name not in TEMPLATES:
        _refuse(f'spec.workflow.template "{name}" is unknown; {did_you_mean(name, TEMPLATES)}')
    for home in HOMES:
        path = home / TEMPLATES[name]
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise StageError(
        Reason.TEMPLATE_NOT_FOUND,
        f"{TEMPLATES[name]} is not installed; looked in {' and '.join(map(str, HOMES))}",
    )


def _refuse(message: str) -> NoReturn:
    raise StageError(Reason.TEMPLATE_NOT_FOUND, message)
