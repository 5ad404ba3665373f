"""Which ways a stage may go, as data: docs/states.md is drawn from it, and the tests hold `decide` to it.

A status may skip states, since it is written from what exists at a look: a quick pod is never seen Running.
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
            STARTING: "the stage before it has succeeded, and its Job is made",
        },
        STARTING: {
            WAITING: "a queue holds the Job, or it is refused, or its pod cannot start, and it is known why",
            RUNNING: "the container runs",
            SUSPENDED: "the run is suspended, or somebody pauses the Job",
            SUCCEEDED: "a pod ended well and its result was read",
            FAILED: "the Job failed, or the pod has not started in time",
        },
        WAITING: {
            STARTING: "what it waited for is there, or its Job is made anew",
            RUNNING: "the container runs",
            SUSPENDED: "the run is suspended, or somebody pauses the Job",
            SUCCEEDED: "a pod ended well and its result was read",
            FAILED: "it has waited for too long, or waiting changes nothing",
        },
        RUNNING: {
            STARTING: "the attempt is over and another one begins, or the Job is made anew",
            WAITING: "its pod does not end, or a queue takes the Job back, or the next cannot start",
            SUSPENDED: "the run is suspended, or somebody pauses the Job",
            SUCCEEDED: "a pod ended well and its result was read",
            FAILED: "the Job failed",
        },
        SUSPENDED: {
            STARTING: "the Job is resumed, with its deadline afresh",
            WAITING: "the Job is resumed, and its pod cannot start, or a queue holds the Job",
            RUNNING: "the Job is resumed, and its container runs already",
            SUCCEEDED: "the pod was done before it could be paused",
            FAILED: "the Job failed before it could be paused, or since it was resumed",
        },
        SUCCEEDED: {},
        FAILED: {},
    }
)
"""From, to, and what is seen then. What is finished never changes."""


def is_legal(before: StageState, after: StageState) -> bool:
    """Say whether a stage may be in one state at one look and in the other at the next."""
    return before is after or after in STAGE_TRANSITIONS[before]
