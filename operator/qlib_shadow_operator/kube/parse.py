"""Parse raw documents into the core's values. Malformed parts become empty values, never errors."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qlib_shadow_operator.kube.lenient import read_leniently
from qlib_shadow_operator.kube.times import read_time
from qlib_shadow_operator.runs.model import (
    Condition,
    Job,
    Pod,
    Run,
    StageStatus,
    Status,
    Termination,
)
from qlib_shadow_operator.runs.names import (
    CONTAINER,
    LABEL_OUT_OF_SIGHT,
    LABEL_PURPOSE,
    LABEL_QUEUE,
    LABEL_RUN,
    LABEL_STAGE,
    ConditionType,
    StageState,
)
from qlib_shadow_operator.runs.queries import WarningEvent
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec import QUESTION, RunFields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V")
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_run(raw: Mapping[str, Any]) -> Run:
    """Return a QlibShadowRun."""
    meta, spec = raw.get("metadata") or {}, raw.get("spec") or {}
    return Run(
        name=meta.get("name", ""),
        namespace=meta.get("namespace", ""),
        uid=meta.get("uid", ""),
        resource_version=meta.get("resourceVersion", ""),
        generation=meta.get("generation", 0),
        # The runId is added when it is resolved.
        question={key: spec[key] for key in QUESTION if key != "runId" and spec.get(key) is not None},
        spec=read_leniently(RunFields, spec) or RunFields(),
        status=parse_status(raw.get("status") or {}),
        deleting="deletionTimestamp" in meta,
    )


def parse_status(raw: Mapping[str, Any]) -> Status:
    """Return the status that the operator wrote before."""
    return Status(
        observed_generation=raw.get("observedGeneration", 0),
        phase=raw.get("phase"),
        summary=dict(raw.get("summary") or {}),
        run_id=raw.get("runId"),
        artifact_path=raw.get("artifactPath"),
        start_time=read_time(raw.get("startTime")),
        completion_time=read_time(raw.get("completionTime")),
        conditions=_all(_condition, raw.get("conditions")),
        stages=_all(_stage_status, raw.get("stages")),
        dataset=dict(raw.get("dataset") or {}),
        metrics=dict(raw.get("metrics") or {}),
        model=dict(raw.get("model") or {}),
        ledger=dict(raw.get("ledger") or {}),
        config_hash=raw.get("configHash"),
        git_commit=raw.get("gitCommit"),
        image_id=raw.get("imageID"),
    )


def _all(read: Callable[[Mapping[str, Any]], V | None], raws: Any) -> tuple[V, ...]:
    return tuple(found for one in raws or () if (found := read(one)) is not None)


def _condition(raw: Mapping[str, Any]) -> Condition | None:
    kind = _member(ConditionType, raw.get("type"))
    if kind is None:
        return None
    return Condition(
        type=kind,
        status=raw.get("status") == "True",
        reason=raw.get("reason", ""),
        message=raw.get("message", ""),
        last_transition_time=read_time(raw.get("lastTransitionTime")) or LONG_AGO,
        observed_generation=raw.get("observedGeneration", 0),
    )


def _stage_status(raw: Mapping[str, Any]) -> StageStatus | None:
    name, state = _member(Stage, raw.get("name")), _member(StageState, raw.get("state"))
    if name is None or state is None:
        return None
    return StageStatus(
        name=name,
        state=state,
        job_name=raw.get("jobName"),
        job_uid=raw.get("jobUID"),
        recreations=raw.get("recreations", 0),
        attempts=raw.get("attempts", 0),
        start_time=read_time(raw.get("startTime")),
        completion_time=read_time(raw.get("completionTime")),
        last_transition_time=read_time(raw.get("lastTransitionTime")),
        reason=raw.get("reason"),
        message=raw.get("message"),
    )


def parse_job(raw: Mapping[str, Any]) -> Job:
    """Return a Job."""
    meta, spec, status = raw.get("metadata") or {}, raw.get("spec") or {}, raw.get("status") or {}
    true = {c.get("type"): c for c in status.get("conditions") or () if c.get("status") == "True"}
    end = true.get("Complete") or true.get("Failed") or {}
    failure = true.get("Failed") or true.get("FailureTarget") or {}
    return Job(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        owner_uid=_controller(meta),
        created_at=read_time(meta.get("creationTimestamp")) or LONG_AGO,
        stage=stage_of(raw),
        purpose=_labels(raw).get(LABEL_PURPOSE),
        suspended=bool(spec.get("suspend")),
        has_queue=LABEL_QUEUE in _labels(raw),
        started_at=read_time(status.get("startTime")),
        ended_at=read_time(status.get("completionTime")) or read_time(end.get("lastTransitionTime")),
        active=status.get("active") or 0,
        succeeded=status.get("succeeded") or 0,
        failed=status.get("failed") or 0,
        is_complete="Complete" in true,
        is_failed="Failed" in true,
        is_failing="FailureTarget" in true,
        failure_reason=failure.get("reason", ""),
        failure_message=failure.get("message", ""),
        retries=spec.get("backoffLimit"),
        deleting="deletionTimestamp" in meta,
        out_of_sight=LABEL_OUT_OF_SIGHT in _labels(raw),
    )


def _controller(meta: Mapping[str, Any]) -> str | None:
    return next((o.get("uid") for o in meta.get("ownerReferences") or () if o.get("controller")), None)


def parse_pod(raw: Mapping[str, Any]) -> Pod:
    """Return a stage's Pod."""
    meta, spec, status = raw.get("metadata") or {}, raw.get("spec") or {}, raw.get("status") or {}
    container: Mapping[str, Any] = _named(spec.get("containers"))
    seen = _named(status.get("containerStatuses"))
    state = seen.get("state") or {}
    waiting, running = state.get("waiting") or {}, state.get("running") or {}
    return Pod(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        created_at=read_time(meta.get("creationTimestamp")) or LONG_AGO,
        phase=status.get("phase", "Pending"),
        stage=stage_of(raw),
        owner_uid=_controller(meta),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        disruption=_disruption(status),
        unschedulable=_unschedulable(status),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        running_since=read_time(running.get("startedAt")),
        termination=_termination(state.get("terminated")),
        out_of_sight=LABEL_OUT_OF_SIGHT in _labels(raw),
        not_ready_since=_not_ready_since(status),
        image=container.get("image", ""),
        image_id=seen.get("imageID", ""),
        memory_limit=((container.get("resources") or {}).get("limits") or {}).get("memory"),
        node=spec.get("nodeName", ""),
        ends_by=read_time(meta.get("deletionTimestamp")),
    )


def parse_warning_event(raw: Mapping[str, Any]) -> WarningEvent:
    """Return an Event with the time when it was last seen, which each recorder keeps in another field."""
    meta, series = raw.get("metadata") or {}, raw.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        raw.get("deprecatedLastTimestamp"),
        raw.get("eventTime"),
        meta.get("creationTimestamp"),
    )
    return WarningEvent(
        reason=raw.get("reason", ""),
        message=raw.get("note", ""),
        at=next((found for one in times if (found := read_time(one))), LONG_AGO),
    )


def _named(containers: Any) -> Mapping[str, Any]:
    return next((one for one in containers or () if one.get("name") == CONTAINER), {})


def _pod_condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), {})


def _disruption(status: Mapping[str, Any]) -> str:
    found = _pod_condition(status, "DisruptionTarget")
    if found.get("status") != "True":
        return ""
    return ": ".join(part for part in (found.get("reason"), found.get("message")) if part) or "disrupted"


def _unschedulable(status: Mapping[str, Any]) -> str:
    found = _pod_condition(status, "PodScheduled")
    is_stuck = found.get("status") == "False" and found.get("reason") == "Unschedulable"
    return found.get("message", "no reason given") if is_stuck else ""


def _not_ready_since(status: Mapping[str, Any]) -> datetime | None:
    found = _pod_condition(status, "Ready")
    return read_time(found.get("lastTransitionTime")) if found.get("status") == "False" else None


def _termination(raw: Mapping[str, Any] | None) -> Termination | None:
    if not raw:
        return None
    return Termination(
        exit_code=raw.get("exitCode", -1),
        reason=raw.get("reason", ""),
        message=raw.get("message", ""),
        started_at=read_time(raw.get("startedAt")),
        finished_at=read_time(raw.get("finishedAt")),
    )


def stage_of(raw: Mapping[str, Any]) -> Stage | None:
    """Return the stage that a Job or Pod belongs to."""
    return _member(Stage, _labels(raw).get(LABEL_STAGE))


def run_name_of(raw: Mapping[str, Any]) -> str | None:
    """Return the name of the run that a Job or Pod belongs to."""
    return _labels(raw).get(LABEL_RUN)


def _labels(raw: Mapping[str, Any]) -> Mapping[str, str]:
    return (raw.get("metadata") or {}).get("labels") or {}


def _member(kind: type[E], value: object) -> E | None:
    return next((one for one in kind if one == value), None)
