"""Whose each part is that there is twice, Qlib's and ours: its class path says it, and the spec may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.spec import Engine
from qlib_shadow_runner.workflow.contents import handler_of, portfolio_of
from qlib_shadow_runner.workflow.document import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.spec import RunSpec

OURS: Final = "qlib_shadow_runner.fast."


def engines_of(document: Mapping[str, Any]) -> dict[str, Engine]:
    """Say it of each part of a vetted workflow; what it does not name is Qlib's own."""
    portfolio = portfolio_of(document)
    parts = {
        "features": handler_of(document),
        "analysis": document["task"]["record"][1],
        "strategy": portfolio["strategy"],
        "executor": portfolio.get("executor", {}),
        "exchange": portfolio["backtest"]["exchange_kwargs"].get("exchange", {}),
    }
    return {name: _engine(part) for name, part in parts.items()}


def check_engine(document: Mapping[str, Any], spec: RunSpec, template: str) -> None:
    """Refuse a template that has any part from another engine than the one that is asked for."""
    asked = spec.workflow.engine
    others = [name for name, engine in engines_of(document).items() if asked not in (None, engine)]
    if others:
        refuse(
            f"spec.workflow.engine is {asked}, and {template} has another engine's {', '.join(others)}; let "
            'each module_path follow {% if engine == "fast" %}, or remove engine from the manifest'
        )


def _engine(part: Mapping[str, Any]) -> Engine:
    named = str(part.get("class"))
    path = named if "." in named else str(part.get("module_path"))  # as Qlib reads it
    return Engine.FAST if path.startswith(OURS) else Engine.QLIB
