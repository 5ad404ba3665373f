"""The sentences about pods that are missing, and about pods that their node has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.reasons import as_clause

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.evictions import Outgrown
    from qlib_shadow_operator.runs.reasons import ReasonText
    from qlib_shadow_runner.contract import Stage


def out_of_scratch(stage: Stage, storage: Outgrown, detail: str) -> str:
    """Say that the kubelet evicted the pod because it outgrew its own storage."""
    told = f"of {storage.limit}" if storage.limit else f"({as_clause(detail) or 'unknown'})"
    return (
        f"stage {stage} used more {storage.what} than its limit {told}, so its node ended it. "
        f"Raise {storage.field}, or use fewer instruments or a shorter history"
    )


def node_refused(detail: str) -> str:
    """Say that the node did not take the pod that the scheduler gave it."""
    return f"the node refused the pod before it started: {as_clause(detail)}. See: kubectl describe nodes"


def no_pod(job: str, namespace: str) -> str:
    """Say that the Job controller created no pod, although it no longer waits."""
    return (
        f'the Job "{job}" has no pod, and no Event says why; the cluster\'s Job controller may not work. '
        f"See: kubectl describe job -n {namespace} {job}"
    )


def backing_off(attempt: int, at: datetime, before: str) -> str:
    """Say when the Job controller makes another attempt."""
    return (
        f"attempt {attempt} is expected at about {at:%H:%M:%S} UTC, because the Job controller waits longer "
        f"after each attempt that fails or is removed; {before}"
    )


def ended_with(reason: ReasonText, message: str) -> str:
    """How the attempt before ended."""
    return f"the one before ended with {reason}: {message}"


def pod_is_gone() -> str:
    """Say that an attempt's pod is gone without a trace."""
    return "the pod of the one before is gone: it was deleted, evicted or preempted, or its node is lost"
