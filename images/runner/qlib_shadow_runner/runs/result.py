"""A stage's result, and the shorter copy that fits into a termination message."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    TERMINATION_MESSAGE_BYTES,
    ExitCode,
    Reason,
    Result,
    Stage,
    artifact_path,
)
from qlib_shadow_runner.contract.escapes import in_a_sentence
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from qlib_shadow_runner.runs.request import Identity

ELLIPSIS: Final = "…"


def now() -> str:
    """Return the time in UTC, as all documents of a run write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_result(
    stage: Stage, identity: Identity | None, ended: StageError | str, *, started_at: str
) -> Result:
    """Return the result of a stage: its error, or the message of its success."""
    failure = ended if isinstance(ended, StageError) else None
    result = Result(
        stage=stage,
        runId=identity.run_id if identity else "",
        uid=identity.uid if identity else "",
        reason=failure.reason if failure else Reason.SUCCEEDED,
        message=failure.message if failure else in_a_sentence(str(ended)),
        exitCode=int(failure.exit_code if failure else ExitCode.DONE),
        startedAt=started_at,
        finishedAt=now(),
    )
    if identity:
        result["artifactPath"] = artifact_path(identity.run_id)
    return result


def termination_message(result: Result, limit: int = TERMINATION_MESSAGE_BYTES) -> bytes:
    """Return the result within the limit: first the message is cut, then what the run folder has too."""
    content = _encode(result)
    if len(content) <= limit:
        return content
    for dropped in (
        (),
        ("dataset",),
        ("dataset", "metrics", "model", "artifactPath", "configHash", "gitCommit"),
    ):
        smaller = Result(**{key: value for key, value in result.items() if key not in dropped})  # type: ignore[typeddict-item]
        content = _encode(_with_shorter_message(smaller, limit))
        if len(content) <= limit:
            return content
    return content[:limit]


def _with_shorter_message(result: Result, limit: int) -> Result:
    message = result.get("message", "")
    low, high = 0, len(message)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encode(_cut(result, message, middle))) <= limit:
            low = middle
        else:
            high = middle - 1
    return _cut(result, message, low)


def _cut(result: Result, message: str, length: int) -> Result:
    shorter = result.copy()
    shorter["message"] = message[:length] + (ELLIPSIS if length < len(message) else "")
    return shorter


def _encode(result: Result) -> bytes:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
