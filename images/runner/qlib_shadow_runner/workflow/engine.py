"""Which engine computes the features: the handler's class path says it, and the spec may ask for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.spec.workflow import Engine
from qlib_shadow_runner.workflow.contents import handler_of
from qlib_shadow_runner.workflow.document import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.spec import RunSpec

OURS: Final = "qlib_shadow_runner.fast."


def engine_of(document: Mapping[str, Any]) -> Engine:
    """Read it from a vetted workflow."""
    handler = handler_of(document)
    named = f"{handler.get('module_path', '')}.{handler['class']}"
    return Engine.FAST if OURS in named else Engine.QLIB


def check_engine(document: Mapping[str, Any], spec: RunSpec, template: str) -> None:
    """Refuse a template that names another engine than the one that is asked for."""
    asked, named = spec.workflow.engine, engine_of(document)
    if asked is not None and asked is not named:
        refuse(
            f"spec.workflow.engine is {asked}, and {template} names a handler of the engine {named}; let its "
            'module_path follow {% if engine == "fast" %}, or remove engine from the manifest'
        )
