"""Every name that the operator writes into the cluster: labels, conditions, phases, states, Job names."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract import API_VERSION, Stage

GROUP: Final = API_VERSION.partition("/")[0]
VERSION: Final = API_VERSION.partition("/")[2]
PLURAL: Final = "qlibshadowruns"

MANAGER: Final = "qlib-shadow-operator"
"""The value of app.kubernetes.io/managed-by, and the reporter of Events."""

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_STAGE: Final = f"{GROUP}/stage"
LABEL_PURPOSE: Final = f"{GROUP}/purpose"
"""The purpose of a Job that is not the stage itself."""
PURPOSE_RECOVERY: Final = "report"
LABEL_OUT_OF_SIGHT: Final = f"{GROUP}/out-of-sight"
"""Only in the cache: of a Job or pod whose labels were removed, so that no watch delivers it."""
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's label for the LocalQueue that decides when a Job starts."""
LABEL_SCHEDULE: Final = f"{GROUP}/schedule"
"""The schedule that created a run."""

ANNOTATION_SCHEDULED_FOR: Final = f"{GROUP}/scheduled-for"
"""The time that a scheduled run was due."""
ANNOTATION_JOB_UID: Final = f"{GROUP}/created-by-job"
"""The uid of the Job that created a scheduled run."""

APP_NAME: Final = "qlib-shadow"
CHILD_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_RUN_UID}"
"""Selects the Jobs and Pods of runs; the API server sends the operator no others."""

CONTAINER: Final = "stage"

JOB_NAME_MAX: Final = 63
UID_CHARACTERS: Final = 8


class ConditionType(StrEnum):
    """The conditions of a run; at most one of Complete and Failed ever becomes True."""

    DATASET_READY = "DatasetReady"
    NETWORK_CLOSED = "NetworkClosed"
    GATES_PASSED = "GatesPassed"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Phase(StrEnum):
    """A one-word summary of the conditions for users; no code reads it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class StageState(StrEnum):
    """The state of one stage."""

    PENDING = "Pending"
    STARTING = "Starting"
    WAITING = "Waiting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


FINISHED: Final = frozenset({StageState.SUCCEEDED, StageState.FAILED})


def job_name(run_name: str, uid: str, stage: Stage, purpose: str | None = None) -> str:
    """Return the name of a stage's Job: always the same, and a valid label and host name."""
    suffix = "-".join(("", uid[:UID_CHARACTERS], stage, *([purpose] if purpose else [])))
    stem = re.sub(r"[^a-z0-9-]", "-", run_name)[: JOB_NAME_MAX - len(suffix)].rstrip("-")
    return stem + suffix


def child_labels(run_name: str, uid: str, stage: Stage, purpose: str | None = None) -> dict[str, str]:
    """Return the labels of a Job and its Pods: run, stage and manager."""
    return ({LABEL_PURPOSE: purpose} if purpose else {}) | {
        LABEL_NAME: APP_NAME,
        LABEL_MANAGED_BY: MANAGER,
        LABEL_COMPONENT: str(stage),
        LABEL_RUN: run_name,
        LABEL_RUN_UID: uid,
        LABEL_STAGE: str(stage),
    }
