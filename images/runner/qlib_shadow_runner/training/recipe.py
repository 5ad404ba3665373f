"""The recipe of a model: what was asked of it, without data, days, the list of instruments, and the machine.

Two nights of one manifest have the same recipe. What decides only the portfolio or the form of the output is
no part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract.spec.workflow import Window, WorkflowSpec


@dataclass(frozen=True)
class Recipe:
    """What a model follows from, besides data and days."""

    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Return the hash by which models of one recipe are found."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()


def recipe_of(workflow: WorkflowSpec, template: str, market: str, region: str) -> Recipe:
    """Return the recipe of a run with this template on this market."""
    return Recipe(
        {
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "market": market,
            "region": region,
            "model": dict(workflow.model),
            "seed": workflow.seed,
            "window": _written(workflow.window),
            "fixed_days": workflow.segments is not None,
        }
    )


def _written(window: Window | None) -> dict[str, str] | None:
    """Return a window as the manifest writes it."""
    if window is None:
        return None
    return {name: str(period) for name, period in window.values().items() if period is not None}
