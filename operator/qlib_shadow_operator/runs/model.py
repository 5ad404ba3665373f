"""What the core knows of a run and of what exists for it: frozen values, parsed by kube/ from documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.runs.names import FINISHED, ConditionType, StageState, job_name
from qlib_shadow_runner.contract import Stage, artifact_path, run_id_fault, run_id_for
from qlib_shadow_runner.contract.stages import stages_of

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.queries import Answers

Document = Mapping[str, Any]
"""A piece of an API document that passes through unread."""
Figures = Mapping[str, str | int | float]
"""Named values of a result, as contract.DatasetResult and contract.Metrics name them."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


# --- what the user wrote --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StageSpec:
    """What a run says of one stage's Job; None leaves it to the operator's settings."""

    resources: Document | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Document, ...] = ()
    active_deadline_seconds: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True)
class ConfigMapKey:
    """One entry of a ConfigMap."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class RunResourceSpec:
    """The spec: what the operator acts on, and the question, which only the runner reads."""

    question: Document = field(default_factory=dict)
    run_id: str | None = None
    claim_name: str | None = None
    stages: Mapping[Stage, StageSpec] = field(default_factory=dict)
    image: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    credentials_secret: str | None = None
    """The Secret of an archive that asks who is there."""
    template_from: ConfigMapKey | None = None
    """Where the user's own workflow template is."""
    queue_name: str | None = None
    """Kueue's queue that decides when Jobs start."""
    suspend: bool = False
    ttl_seconds_after_finished: int | None = None

    def stage(self, stage: Stage) -> StageSpec:
        """Give what is said of a stage, if anything."""
        return self.stages.get(stage, StageSpec())


# --- what the operator wrote ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a run."""

    type: ConditionType
    status: bool
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage, as the status shows it."""

    name: Stage
    state: StageState = StageState.PENDING
    job_name: str | None = None
    job_uid: str | None = None
    """Set once the Job was seen: a Job that was made and is not there was deleted."""
    recreations: int = 0
    """How often another Job took the place of one that was deleted by hand."""
    attempts: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None
    last_transition_time: datetime | None = None
    """Since when this attempt is in this state for this reason: how long it may wait counts from then."""
    reason: str | None = None
    message: str | None = None

    @property
    def finished(self) -> bool:
        """Nothing changes any more."""
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status, bounded in size."""

    observed_generation: int = 0
    phase: str | None = None
    summary: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    artifact_path: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    stages: tuple[StageStatus, ...] = ()
    dataset: Figures = field(default_factory=dict)
    metrics: Figures = field(default_factory=dict)
    config_hash: str | None = None
    git_commit: str | None = None
    image_id: str | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """Find a condition."""
        return next((one for one in self.conditions if one.type is kind), None)

    def is_true(self, kind: ConditionType) -> bool:
        """Say whether a condition holds."""
        found = self.condition(kind)
        return found is not None and found.status

    def stage(self, stage: Stage) -> StageStatus:
        """Give a stage's status, also before there is one."""
        return next((one for one in self.stages if one.name is stage), StageStatus(stage))

    @property
    def finished(self) -> bool:
        """One of the two terminal conditions holds."""
        return self.is_true(ConditionType.COMPLETE) or self.is_true(ConditionType.FAILED)


@dataclass(frozen=True, slots=True)
class Run:
    """A QlibShadowRun."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    spec: RunResourceSpec = field(default_factory=RunResourceSpec)
    status: Status = field(default_factory=Status)
    deleting: bool = False

    @property
    def run_id(self) -> str:
        """Name the run on the volume: once started, for good."""
        told = self.status.run_id if self.status.start_time else None
        return told or self.spec.run_id or run_id_for(self.name, self.uid)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the run's stages, in the order in which they run."""
        return stages_of(self.spec.question)

    @property
    def fault(self) -> str | None:
        """Say what makes the run impossible although the API server let it in."""
        return run_id_fault(self.run_id)

    @property
    def artifact_path(self) -> str:
        """Give the run folder."""
        return artifact_path(self.run_id)

    def job_name(self, stage: Stage, purpose: str | None = None) -> str:
        """Name a stage's Job."""
        return job_name(self.name, self.uid, stage, purpose)


# --- what exists ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A stage's Job."""

    name: str
    uid: str
    owner_uid: str | None
    created_at: datetime
    stage: Stage | None = None
    purpose: str | None = None
    suspended: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    is_complete: bool = False
    is_failed: bool = False
    is_failing: bool = False
    """It will be failed once its pods have ended; it makes no more of them."""
    failure_reason: str = ""
    failure_message: str = ""
    active_deadline_seconds: int | None = None
    deleting: bool = False

    @property
    def finished(self) -> bool:
        """The Job controller is done with it."""
        return self.is_complete or self.is_failed


@dataclass(frozen=True, slots=True)
class Termination:
    """How a pod's container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One attempt of a stage."""

    name: str
    uid: str
    created_at: datetime
    phase: str = "Pending"
    stage: Stage | None = None
    owner_uid: str | None = None
    reason: str = ""
    message: str = ""
    disruption: str = ""
    """Why the cluster, and not the run, is to blame for the attempt's end."""
    unschedulable: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    running_since: datetime | None = None
    termination: Termination | None = None
    image: str = ""
    image_id: str = ""
    memory_limit: str | None = None
    node: str = ""
    ends_by: datetime | None = None
    """Set once it was deleted: when the node must have ended it."""

    @property
    def deleting(self) -> bool:
        """Somebody, or something, wants it gone."""
        return self.ends_by is not None

    @property
    def ended(self) -> bool:
        """The attempt is over."""
        return self.phase in {"Succeeded", "Failed"} or self.termination is not None

    @property
    def has_succeeded(self) -> bool:
        """The attempt ended well."""
        return self.termination is not None and self.termination.exit_code == 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """What the API server said when a stage's Job was last refused."""

    message: str
    permanent: bool = False
    """The same Job will be refused for ever."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that exists for a run, besides the run itself."""

    jobs: Mapping[Stage, Job] = field(default_factory=dict)
    pods: Mapping[Stage, tuple[Pod, ...]] = field(default_factory=dict)
    recovery_jobs: Mapping[Stage, Job] = field(default_factory=dict)
    """The Jobs that tell again how a stage ended."""
    recovery_pods: Mapping[Stage, tuple[Pod, ...]] = field(default_factory=dict)
    rejections: Mapping[Stage, Rejection] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    """What was asked of the API server."""
