"""The allowed transitions of a stage, as data for docs/states.md and for the tests of `decide`.

A status may skip states, because it is written from what exists: a quick pod is never seen Running.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs.names import StageState

if TYPE_CHECKING:
    from collections.abc import Mapping

PENDING, STARTING, WAITING, RUNNING, SUSPENDED, SUCCEEDED, FAILED = StageState

STAGE_TRANSITIONS: Final[Mapping[StageState, Mapping[StageState, str]]] = MappingProxyType(
    {
        PENDING: {
            STARTING: "the previous stage has succeeded, and the Job is created",
        },
        STARTING: {
            WAITING: "Kueue has not admitted the Job, or it is refused, or its pod waits for a known cause",
            RUNNING: "the container runs",
            SUSPENDED: "the run is suspended, or a user suspends the Job",
            SUCCEEDED: "a pod succeeded and its result was read",
            FAILED: "the Job failed, or the start timeout has passed",
        },
        WAITING: {
            STARTING: "the cause is gone, or the Job is recreated",
            RUNNING: "the container runs",
            SUSPENDED: "the run is suspended, or a user suspends the Job",
            SUCCEEDED: "a pod succeeded and its result was read",
            FAILED: "the start timeout has passed, or the cause is permanent",
        },
        RUNNING: {
            STARTING: "the attempt has ended and another one starts, or the Job is recreated",
            WAITING: "the pod does not stop, or Kueue evicts the Job, or the next pod is waited for",
            SUSPENDED: "the run is suspended, or a user suspends the Job",
            SUCCEEDED: "a pod succeeded and its result was read",
            FAILED: "the Job failed",
        },
        SUSPENDED: {
            STARTING: "the Job is resumed, and its deadline starts again",
            WAITING: "the Job is resumed, and its pod cannot start or Kueue has not admitted it",
            RUNNING: "the Job is resumed, and its container runs",
            SUCCEEDED: "the pod succeeded before it was suspended",
            FAILED: "the Job failed before it was suspended, or after it was resumed",
        },
        SUCCEEDED: {},
        FAILED: {},
    }
)
"""From, to, and the condition. Succeeded and Failed are final."""


def is_legal(before: StageState, after: StageState) -> bool:
    """Return whether a stage may have these states in two consecutive passes."""
    return before is after or after in STAGE_TRANSITIONS[before]
