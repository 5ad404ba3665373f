"""The inputs of a stage's work and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import DatasetResult, LedgerResult, Metrics, ModelResult

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.process.limits import Limits
    from qlib_shadow_runner.process.supervisor import Supervisor
    from qlib_shadow_runner.process.tee import Tee
    from qlib_shadow_runner.runs.folder import RunFolder
    from qlib_shadow_runner.runs.request import StageInput
    from qlib_shadow_runner.spec import RunSpec


@dataclass(frozen=True)
class StageContext:
    """Everything that a stage's work uses."""

    stage_input: StageInput
    spec: RunSpec
    folder: RunFolder
    supervisor: Supervisor
    tee: Tee
    limits: Limits
    scratch: Path
    environ: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """The findings of a stage that succeeded."""

    message: str
    dataset: DatasetResult = field(default_factory=DatasetResult)
    metrics: Metrics = field(default_factory=Metrics)
    model: ModelResult = field(default_factory=ModelResult)
    ledger: LedgerResult = field(default_factory=LedgerResult)
    config_hash: str = ""
