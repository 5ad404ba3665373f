"""What can come of a look at a run: a status, actions, notes, and a time to look again."""

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
    """Make a Job of a stage; one that is there already is as good."""

    stage: Stage
    body: dict[str, Any]


@dataclass(frozen=True)
class SetJobSuspended:
    """Pause or resume a Job; pausing stops its pods without counting them as failed."""

    stage: Stage
    name: str
    suspended: bool


@dataclass(frozen=True)
class DeleteJob:
    """Remove exactly this Job, and its pods."""

    stage: Stage
    name: str
    uid: str


@dataclass(frozen=True)
class DeleteRun:
    """Remove the run, whose time to live is over; its artifacts stay."""


Action = CreateJob | SetJobSuspended | DeleteJob | DeleteRun


@dataclass(frozen=True)
class Event:
    """An Event to post once the status has landed."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Decision:
    """The outcome of one look at a run. The status is written first, then the actions, then the notes."""

    rule: str
    status: Status
    queries: tuple[Query, ...] = ()
    """What is to be asked, and decided again, before any of it is done."""
    actions: tuple[Action, ...] = ()
    notes: tuple[Event, ...] = ()
    requeue_at: datetime | None = None


@dataclass(frozen=True)
class RunView:
    """A run, what exists for it, and what was found of each stage, at one moment."""

    run: Run
    observed: Observed
    check_results: tuple[CheckResult, ...]
    defaults: Defaults
    now: datetime

    @property
    def current(self) -> CheckResult | None:
        """The stage that the run is at: the first one that has not succeeded."""
        return next((f for f in self.check_results if f.status.state is not StageState.SUCCEEDED), None)

    @property
    def dataset(self) -> Figures:
        """What is known of the dataset, from now or from before."""
        found = [f.result.dataset for f in self.check_results if f.result and f.result.dataset]
        return {**self.run.status.dataset, **(found[-1] if found else {})}


@dataclass(frozen=True)
class RuleResult:
    """What a rule says."""

    actions: tuple[Action, ...] = ()
    failure: Cause | None = None
    complete: bool = False
    suspended: bool = False
    keep_status: bool = False
    """The status stays as it is."""
    stage: StageStatus | None = None
    """The current stage's status, where the rule changes it."""
    requeue_at: datetime | None = None
    queries: tuple[Query, ...] = ()
