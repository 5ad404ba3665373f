"""Finding the built-in workflow templates, in a checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATES: Final[Mapping[str, str]] = {
    "lightgbm-alpha158": "workflow_us_lightgbm_alpha158_shadow.yaml",
}
"""The name that a manifest uses, and its file."""
PACKAGE: Final = Path(__file__).resolve().parents[1]
HOMES: Final = (PACKAGE / "workflows", PACKAGE.parents[2] / "config" / "qlib_shadow")
"""Inside a wheel, and beside images/ in a checkout."""


def read_template(name: str) -> str:
    """Read a built-in template."""
    if name not in TEMPLATES:
        raise StageError(
            Reason.TEMPLATE_NOT_FOUND,
            f'spec.workflow.template "{name}" is unknown; {did_you_mean(name, TEMPLATES)}',
        )
    for home in HOMES:
        path = home / TEMPLATES[name]
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise StageError(
        Reason.TEMPLATE_NOT_FOUND,
        f"{TEMPLATES[name]} is not installed; looked in {' and '.join(map(str, HOMES))}",
    )
