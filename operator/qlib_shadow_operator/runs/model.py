"""What the core knows of a run and of what exists for it: frozen values, parsed from documents by kube/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.runs.names import FINISHED, ConditionType, StageState, job_name
from qlib_shadow_runner.contract import Stage, artifact_path, run_id_for
from qlib_shadow_runner.contract.spec import RunFields, run_id_fault
from qlib_shadow_runner.contract.stages import stages_of

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.queries import Answers

Document = Mapping[str, Any]
"""A part of an API document that is passed on unread."""
Figures = Mapping[str, str | int | float]
"""Named values of a result, as contract.DatasetResult, Metrics, ModelResult and LedgerResult define them."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


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
    """The status of one stage."""

    name: Stage
    state: StageState = StageState.PENDING
    job_name: str | None = None
    job_uid: str | None = None
    """Set once the Job was seen: a missing Job with a known uid was deleted."""
    recreations: int = 0
    """How often the Job was recreated after it was deleted by hand."""
    attempts: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None
    last_transition_time: datetime | None = None
    """Since when the attempt has this state and reason, or another of stage_view.NOT_TAKEN.

    The start timeout counts from then.
    """
    reason: str | None = None
    message: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the stage has ended for good."""
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status; its size is bounded."""

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
    model: Figures = field(default_factory=dict)
    ledger: Figures = field(default_factory=dict)
    config_hash: str | None = None
    git_commit: str | None = None
    image_id: str | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return a condition, or None."""
        return next((one for one in self.conditions if one.type is kind), None)

    def is_true(self, kind: ConditionType) -> bool:
        """Return whether a condition is True."""
        found = self.condition(kind)
        return found is not None and found.status

    def stage(self, stage: Stage) -> StageStatus:
        """Return a stage's status, or Pending if it has none yet."""
        return next((one for one in self.stages if one.name is stage), StageStatus(stage))

    @property
    def finished(self) -> bool:
        """Whether Complete or Failed is True."""
        return self.is_true(ConditionType.COMPLETE) or self.is_true(ConditionType.FAILED)


@dataclass(frozen=True, slots=True)
class Run:
    """A QlibShadowRun."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    question: Document = field(default_factory=dict)
    """What of the spec is the runner's, unread."""
    spec: RunFields = field(default_factory=RunFields)
    """What of the spec is the operator's."""
    status: Status = field(default_factory=Status)
    deleting: bool = False

    @property
    def run_id(self) -> str:
        """The run's name on the volume; frozen once the run has started."""
        told = self.status.run_id if self.status.start_time else None
        return told or self.spec.run_id or run_id_for(self.name, self.uid)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the run's stages, in the order in which they run."""
        return stages_of(self.question)

    @property
    def archive_url(self) -> str | None:
        """Return the address that an archive is fetched from."""
        sources = self.spec.dataset.sources
        return sources.archive.url if sources and sources.archive else None

    @property
    def credentials_secret(self) -> str | None:
        """Return the Secret that is sent to the archive's address; a file on the volume needs none."""
        sources = self.spec.dataset.sources
        archive = sources.archive if sources else None
        return archive.credentials_secret if archive and archive.url else None

    @property
    def fault(self) -> str | None:
        """Return why the run cannot work although the API server accepted it, or None."""
        return run_id_fault(self.run_id)

    @property
    def artifact_path(self) -> str:
        """Return the run folder."""
        return artifact_path(self.run_id)

    def job_name(self, stage: Stage, purpose: str | None = None) -> str:
        """Return the name of a stage's Job."""
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
    has_queue: bool = False
    """Whether it has Kueue's label, without which Kueue never admits it."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    is_complete: bool = False
    is_failed: bool = False
    is_failing: bool = False
    """Whether it will fail once its pods have ended; it creates no more pods."""
    failure_reason: str = ""
    failure_message: str = ""
    retries: int | None = None
    """How many failed pods it counts before it fails: its backoffLimit."""
    deleting: bool = False
    out_of_sight: bool = False
    """Whether its labels or owner were removed and could not be restored, so that no watch delivers it."""

    @property
    def finished(self) -> bool:
        """Whether the Job controller has finished it."""
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
    """The disruption by the cluster that ended the attempt, if any."""
    unschedulable: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    running_since: datetime | None = None
    termination: Termination | None = None
    out_of_sight: bool = False
    """Whether its labels were removed, so that no watch delivers it."""
    not_ready_since: datetime | None = None
    """For a pod that failed before it had a container: the end, as the Job controller reads it."""
    image: str = ""
    image_id: str = ""
    memory_limit: str | None = None
    node: str = ""
    ends_by: datetime | None = None
    """Set once the pod is deleted: when the node must have stopped it."""

    @property
    def deleting(self) -> bool:
        """Whether the pod is being deleted."""
        return self.ends_by is not None

    @property
    def ended(self) -> bool:
        """Whether the attempt has ended."""
        return self.phase in {"Succeeded", "Failed"} or self.termination is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether the attempt ended with exit code 0."""
        return self.termination is not None and self.termination.exit_code == 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the API server did not create, suspend or resume a stage's Job when it was last asked."""

    message: str
    permanent: bool = False
    """Whether the same Job will be refused every time."""
    name_taken: bool = False
    """Whether a Job of this name exists that is not the run's."""
    server_failed: bool = False
    """Whether it was not refused: the API server, or a webhook that it asks, does not work now."""
    of_a_change: bool = False
    """Whether the Job is there, and was to be suspended or resumed."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that exists for a run, besides the run itself."""

    jobs: Mapping[Stage, Job] = field(default_factory=dict)
    pods: Mapping[Stage, tuple[Pod, ...]] = field(default_factory=dict)
    recovery_jobs: Mapping[Stage, Job] = field(default_factory=dict)
    """The Jobs that read a finished stage's result from the run folder."""
    recovery_pods: Mapping[Stage, tuple[Pod, ...]] = field(default_factory=dict)
    rejections: Mapping[Stage, Rejection] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    """The answers of the API server to queries."""
    has_books: bool = False
    """Whether a run on the same claim has told of its book, so that the folder of all books is there."""
