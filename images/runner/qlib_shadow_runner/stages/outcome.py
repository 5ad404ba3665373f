"""What a stage works with, and what it has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import DatasetResult, Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.dataset.ensure import ResolvedDataset
    from qlib_shadow_runner.dataset.quality.assess import Quality
    from qlib_shadow_runner.process.limits import Limits
    from qlib_shadow_runner.process.supervisor import Supervisor
    from qlib_shadow_runner.process.tee import Tee
    from qlib_shadow_runner.runs.folder import RunFolder
    from qlib_shadow_runner.runs.request import StageInput
    from qlib_shadow_runner.spec import RunSpec


@dataclass(frozen=True)
class StageContext:
    """Everything that a stage may use."""

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
    """What a stage that succeeded reports."""

    message: str
    dataset: DatasetResult = field(default_factory=DatasetResult)
    metrics: Metrics = field(default_factory=Metrics)
    config_hash: str = ""


def dataset_result(context: StageContext, resolved: ResolvedDataset) -> DatasetResult:
    """Say what is known of the dataset, with paths as the cluster sees them."""
    manifest = resolved.manifest
    return DatasetResult(
        path=context.spec.dataset.path,
        resolvedPath=context.stage_input.volume.name(resolved.folder),
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        calendarStart=manifest.calendar_start,
        calendarEnd=manifest.calendar_end,
        days=manifest.days,
        instruments=manifest.instruments,
        ageDays=manifest.age_days(datetime.now(UTC).date()),
    )


def quality_result(quality: Quality) -> DatasetResult:
    """Say how good the dataset is, as far as the resource shows it."""
    return DatasetResult(
        engineeringState=quality.engineering_state,
        sourceState=quality.source_state,
        policyState=quality.policy_state,
        overallState=quality.overall_state,
        reasonCode=quality.reason_code,
        actionHint=quality.action_hint,
    )
