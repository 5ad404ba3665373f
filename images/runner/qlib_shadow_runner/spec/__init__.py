"""The manifest's spec as frozen values, every fault a sentence that says what to write instead.

Knows names and ranges, nothing of what the volume holds: that is discovery's. What belongs to the
operator (storage, stages, image …) is accepted by name and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract import run_id_fault
from qlib_shadow_runner.fields import check_keys, choice, mapping, refuse, text
from qlib_shadow_runner.spec.dataset import DatasetSpec, Refresh, parse_dataset
from qlib_shadow_runner.spec.model import MODEL_PARAMETERS
from qlib_shadow_runner.spec.portfolio import ExchangeCosts, Strategy
from qlib_shadow_runner.spec.segments import Segments
from qlib_shadow_runner.spec.workflow import (
    AUTO,
    DEFAULT_TEMPLATE,
    ConfigMapRef,
    SignalsFormat,
    WorkflowSpec,
    parse_workflow,
)

__all__ = [
    "AUTO",
    "DEFAULT_TEMPLATE",
    "MODEL_PARAMETERS",
    "OPERATOR_KEYS",
    "ConfigMapRef",
    "DatasetSpec",
    "ExchangeCosts",
    "Refresh",
    "Reuse",
    "RunSpec",
    "Segments",
    "SignalsFormat",
    "Strategy",
    "WorkflowSpec",
    "parse_spec",
]

OPERATOR_KEYS: Final = frozenset(
    {
        "storage",
        "stages",
        "image",
        "imagePullPolicy",
        "imagePullSecrets",
        "queueName",
        "suspend",
        "ttlSecondsAfterFinished",
    }
)
"""Keys of the spec that only the operator reads."""


class Reuse(StrEnum):
    """What becomes of a question that a finished run has answered already."""

    NEVER = "Never"
    IF_IDENTICAL = "IfIdentical"


@dataclass(frozen=True)
class RunSpec:
    """One run's question."""

    dataset: DatasetSpec
    workflow: WorkflowSpec
    run_id: str | None = None
    reuse: Reuse = Reuse.NEVER


def parse_spec(document: object) -> RunSpec:
    """Read a whole spec."""
    raw = mapping(document, "spec")
    check_keys(raw, {"dataset", "workflow", "runId", "reuse", *OPERATOR_KEYS}, "spec")
    run_id = raw.get("runId")
    if run_id is not None:
        fault = run_id_fault(text(run_id, "spec.runId"))
        if fault:
            refuse(fault)
    return RunSpec(
        dataset=parse_dataset(mapping(raw.get("dataset", {}), "spec.dataset")),
        workflow=parse_workflow(mapping(raw.get("workflow", {}), "spec.workflow")),
        run_id=None if run_id is None else str(run_id),
        reuse=Reuse(choice(raw.get("reuse", "Never"), tuple(Reuse), "spec.reuse")),
    )
