"""What a stage works with, and what it has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import DatasetResult, Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.limits import Limits
    from qlib_shadow_runner.request import Context
    from qlib_shadow_runner.run_folder import RunFolder
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.supervisor import Supervisor
    from qlib_shadow_runner.tee import Tee


@dataclass(frozen=True)
class Workbench:
    """Everything that a stage may use."""

    context: Context
    spec: RunSpec
    folder: RunFolder
    supervisor: Supervisor
    tee: Tee
    limits: Limits
    scratch: Path
    environ: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What a stage that succeeded reports."""

    message: str
    dataset: DatasetResult = field(default_factory=DatasetResult)
    metrics: Metrics = field(default_factory=Metrics)
    config_hash: str = ""
