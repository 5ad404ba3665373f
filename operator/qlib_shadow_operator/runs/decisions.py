"""The outcome of a reconcile pass: a status, actions, Events, and when to reconcile again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.runs.names import StageState

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.causes import Cause
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Figures, Observed, Run, StageStatus, Status
    from qlib_shadow_operator.runs.queries import Query
    from qlib_shadow_operator.runs.stage_view import CheckResult
    from qlib_shadow_runner.contract import Stage


@dataclass(frozen=True)
class CreateJob:
    """Create a stage's Job, unless it exists already."""

    stage: Stage
    body: dict[str, Any]


@dataclass(frozen=True)
class SetJobSuspended:
    """Suspend or resume a Job; suspending stops its pods without counting them as failed."""

    stage: Stage
    name: str
    suspended: bool


@dataclass(frozen=True)
class DeleteJob:
    """Delete exactly this Job, and its pods."""

    stage: Stage
    name: str
    uid: str


@dataclass(frozen=True)
class DeleteRun:
    """Delete the run after its time to live; its artifacts stay on the volume."""


Action = CreateJob | SetJobSuspended | DeleteJob | DeleteRun


@dataclass(frozen=True)
class Event:
    """An Event to post after the status is written."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Decision:
    """The outcome of one reconcile pass. The status is written first, then the actions, then the Events."""

    rule: str
    status: Status
    queries: tuple[Query, ...] = ()
    """Reads that are needed before any of this is done; then the decision is made again."""
    actions: tuple[Action, ...] = ()
    notes: tuple[Event, ...] = ()
    requeue_at: datetime | None = None


@dataclass(frozen=True)
class RunView:
    """A run, what exists for it, and the state of each stage, at one moment."""

    run: Run
    observed: Observed
    check_results: tuple[CheckResult, ...]
    defaults: Defaults
    now: datetime

    @property
    def current(self) -> CheckResult | None:
        """The first stage that has not succeeded, or None."""
        return next((f for f in self.check_results if f.status.state is not StageState.SUCCEEDED), None)

    @property
    def dataset(self) -> Figures:
        """The figures of the dataset, from this pass or from the status."""
        found = [f.result.dataset for f in self.check_results if f.result and f.result.dataset]
        return {**self.run.status.dataset, **(found[-1] if found else {})}


@dataclass(frozen=True)
class RuleResult:
    """What a rule decides."""

    actions: tuple[Action, ...] = ()
    failure: Cause | None = None
    complete: bool = False
    suspended: bool = False
    keep_status: bool = False
    """Whether the status stays as it is."""
    stage: StageStatus | None = None
    """The current stage's status, if the rule changes it."""
    requeue_at: datetime | None = None
    queries: tuple[Query, ...] = ()
