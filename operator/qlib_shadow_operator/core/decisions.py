"""What can come of a look at a run: a status, actions, notes, and a time to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.core.model import Status
    from qlib_shadow_operator.core.questions import Question
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
class Note:
    """An Event to post once the status has landed."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Decision:
    """The outcome of one look at a run. The status is written first, then the actions, then the notes."""

    rule: str
    status: Status
    questions: tuple[Question, ...] = ()
    """What is to be asked, and decided again, before any of it is done."""
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    look_again_at: datetime | None = None
