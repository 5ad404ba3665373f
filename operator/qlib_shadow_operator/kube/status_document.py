"""Render the core's status as the API's document, and compute the smallest patch between two documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib_shadow_operator.kube.times import write_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.model import Condition, StageStatus, Status


def render_status(status: Status) -> dict[str, Any]:
    """Return the status document without unknown values."""
    return _known(
        {
            "observedGeneration": status.observed_generation,
            "phase": status.phase and str(status.phase),
            "summary": dict(status.summary),
            "runId": status.run_id,
            "artifactPath": status.artifact_path,
            "startTime": write_time(status.start_time),
            "completionTime": write_time(status.completion_time),
            "conditions": [_condition(one) for one in status.conditions],
            "stages": [_stage(one) for one in status.stages],
            "dataset": dict(status.dataset),
            "metrics": dict(status.metrics),
            "model": dict(status.model),
            "ledger": dict(status.ledger),
            "configHash": status.config_hash,
            "gitCommit": status.git_commit,
            "imageID": status.image_id,
        }
    )


def _condition(one: Condition) -> dict[str, Any]:
    return {
        "type": str(one.type),
        "status": str(one.status),
        "reason": str(one.reason),
        "message": one.message,
        "lastTransitionTime": write_time(one.last_transition_time),
        "observedGeneration": one.observed_generation,
    }


def _stage(one: StageStatus) -> dict[str, Any]:
    return _known(
        {
            "name": str(one.name),
            "state": str(one.state),
            "jobName": one.job_name,
            "jobUID": one.job_uid,
            "recreations": one.recreations or None,
            "attempts": one.attempts,
            "startTime": write_time(one.start_time),
            "completionTime": write_time(one.completion_time),
            "lastTransitionTime": write_time(one.last_transition_time),
            "reason": one.reason and str(one.reason),
            "message": one.message,
        }
    )


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the RFC 7386 merge patch from old to new: null removes a field, a list is replaced whole."""
    gone = {name: None for name in old if name not in new}
    return gone | {
        name: _change(old.get(name), value) for name, value in new.items() if old.get(name) != value
    }


def _change(old: Any, new: Any) -> Any:
    return merge_patch(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
