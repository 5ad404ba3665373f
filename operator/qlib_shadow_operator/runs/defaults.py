"""What the operator's settings say of Jobs, where a run says nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.model import Document


@dataclass(frozen=True)
class StageDefaults:
    """One stage's Job."""

    resources: Document
    active_deadline_seconds: int
    retries: int = 2


STAGE_DEFAULTS: Final[Mapping[Stage, StageDefaults]] = MappingProxyType(
    {
        Stage.DOWNLOAD: StageDefaults(
            resources={"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
            active_deadline_seconds=3600,
        ),
        Stage.QRUN: StageDefaults(
            # Alpha158 on 500 US symbols since 2008 peaks at 3.9 GB.
            resources={"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            active_deadline_seconds=4 * 3600,
        ),
    }
)


@dataclass(frozen=True)
class Defaults:
    """All stages' Jobs."""

    image: str = "qlib-runner:0.1.0"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    claim_name: str = "qlib-shadow-data"
    uid: int = 10001
    gid: int = 10001
    time_zone: str = "UTC"
    work_size: str = "4Gi"
    shared_memory_size: str = "1Gi"
    features_cache_bytes: str = ""
    """What may stay for other runs; empty is the runner's own default."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """How a download gets out, by the usual variables; qrun is never told."""
    start_timeout: timedelta = timedelta(minutes=30)
    """How long a stage may wait for its pod to start."""
    query_after: timedelta = timedelta(seconds=20)
    """How long a pod may take to start before the operator asks why; other waits are multiples of it."""
    result_timeout: timedelta = timedelta(seconds=30)
    """How long the news of a pod may come after the news of its Job."""
    stages: Mapping[Stage, StageDefaults] = field(default_factory=lambda: STAGE_DEFAULTS)

    def stage(self, stage: Stage) -> StageDefaults:
        """Give a stage's defaults."""
        return self.stages[stage]
