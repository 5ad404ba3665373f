"""The operator's default settings for Jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs.allowed import Allowed
from qlib_shadow_operator.runs.pods import PodDefaults
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.deadlines import DEFAULT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.model import Document


@dataclass(frozen=True)
class StageDefaults:
    """The defaults of one stage's Job."""

    resources: Document
    active_deadline_seconds: int
    retries: int = 2


STAGE_DEFAULTS: Final[Mapping[Stage, StageDefaults]] = MappingProxyType(
    {
        Stage.DOWNLOAD: StageDefaults(
            resources={"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
            active_deadline_seconds=DEFAULT_SECONDS[Stage.DOWNLOAD],
        ),
        Stage.QRUN: StageDefaults(
            # Alpha158 on 500 US symbols since 2008 peaks at 3.9 GB.
            resources={"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            active_deadline_seconds=DEFAULT_SECONDS[Stage.QRUN],
        ),
        Stage.LEDGER: StageDefaults(
            resources={"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
            active_deadline_seconds=DEFAULT_SECONDS[Stage.LEDGER],
        ),
    }
)


@dataclass(frozen=True)
class Defaults:
    """The defaults of all stages' Jobs."""

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
    """The size limit of the feature cache; empty means the runner's own default."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Proxy variables for the download stage; closed stages never get them."""
    pods: PodDefaults = field(default_factory=PodDefaults)
    """What the pods of every run get besides what the run chooses."""
    allowed: Allowed = field(default_factory=Allowed)
    """What a run may choose."""
    job_ttl_seconds: int | None = None
    """How long after a run's end its Jobs are deleted; None leaves them."""
    start_timeout: timedelta = timedelta(minutes=30)
    """How long a stage may wait for its pod to start."""
    query_after: timedelta = timedelta(seconds=20)
    """How long a pod may take to start before the operator asks why; other waits are multiples of it."""
    result_timeout: timedelta = timedelta(seconds=30)
    """How long a pod's update may arrive after that of its Job."""
    stages: Mapping[Stage, StageDefaults] = field(default_factory=lambda: STAGE_DEFAULTS)

    def stage(self, stage: Stage) -> StageDefaults:
        """Return a stage's defaults."""
        return self.stages[stage]
