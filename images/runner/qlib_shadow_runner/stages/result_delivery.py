"""Deliver a stage's result to the operator, also later from the run folder by a recovery Job.

This module never runs a stage and imports none of a stage's dependencies.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from qlib_shadow_runner.contract import ENV_TERMINATION_LOG, ExitCode, Reason, Result, Stage
from qlib_shadow_runner.errors import DamagedFileError, StageError, from_os_error
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.result import make_result, now, termination_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.runs.request import Identity

TEXTS: Final = ("stage", "runId", "uid", "reason", "message")
EXIT_CODE_MAX: Final = 255


def deliver_result(result: Result, environ: Mapping[str, str]) -> None:
    """Write the result to the termination log, and the reason of a failure to stderr as well."""
    if result["exitCode"] != ExitCode.DONE:
        print_error(f"{result['reason']}: {result['message']}")
    log = environ.get(ENV_TERMINATION_LOG)
    if log:
        with contextlib.suppress(OSError):
            Path(log).write_bytes(termination_message(result))


def recover_result(stage: Stage, environ: Mapping[str, str]) -> int:
    """Deliver the stage's recorded result and return the exit code that it holds."""
    from qlib_shadow_runner.runs.request import StageInput  # noqa: PLC0415 - only a recovery needs it

    began, identity = now(), None
    try:
        stage_input = StageInput.from_environ(stage, environ)
        identity = stage_input.identity
        result = recorded_result(RunFolder(stage_input.folder), stage, identity)
    except StageError as error:
        result = make_result(stage, identity, error, started_at=began)
    else:
        print_line(f"recovered: {stage} ended with {result['reason']}: {result['message']}")
    deliver_result(result, environ)
    return result["exitCode"]


def recorded_result(folder: RunFolder, stage: Stage, identity: Identity) -> Result:
    """Return the recorded result of a run's stage, or raise why there is no usable one."""
    path = folder.result_path(stage)
    try:
        found = folder.result(stage)
    except DamagedFileError as error:
        raise _missing(f"{error}, so how stage {stage} ended is unknown") from error
    except OSError as error:
        raise from_os_error(error) from error
    if found is None:
        what = "is not a JSON object" if path.exists() else "is not there"
        raise _missing(f"{path} {what}, so how stage {stage} ended is unknown")
    fault = result_fault(found, stage, identity)
    if fault:
        raise _missing(f"{path} does not say how stage {stage} ended: {fault}")
    return cast("Result", found)


def result_fault(found: Mapping[str, object], stage: Stage, identity: Identity) -> str | None:
    """Return why a document is not the result of this run's stage, or None."""
    for name in TEXTS:
        if not isinstance(found.get(name), str):
            return f"{name} is not text"
    expected = {"stage": str(stage), "runId": identity.run_id, "uid": identity.uid}
    for name, value in expected.items():
        if found[name] != value:
            return f'its {name} is "{found[name]}", not "{value}"'
    code = found.get("exitCode")
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= EXIT_CODE_MAX:
        return f"its exitCode is {code!r}"
    if (code == ExitCode.DONE) != (found["reason"] == Reason.SUCCEEDED):
        return f"exitCode {code} and reason {found['reason']} contradict each other"
    return _unwritable(cast("Result", found))


def _unwritable(found: Result) -> str | None:
    try:
        termination_message(found)
    except ValueError:
        return "it holds a figure that is not a number"
    return None


def _missing(fault: str) -> StageError:
    return StageError(
        Reason.RESULT_MISSING,
        f"{fault}. Apply the run again under a new name; its dataset is used again.",
    )
