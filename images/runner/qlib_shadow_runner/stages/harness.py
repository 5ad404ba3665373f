"""Run a stage: take the run folder, log the output, handle SIGTERM, and always write a result.

This process imports only the standard library until a stage needs more, because it lives as long as its
heavy children and shares their memory limit.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import LEDGERS, ExitCode, Reason, Result, Stage
from qlib_shadow_runner.contract.spec import series_of
from qlib_shadow_runner.contract.stages import COMPLETE, STAGES, Access, is_after_training, pinned_path
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected
from qlib_shadow_runner.guard.layers import close_own_network
from qlib_shadow_runner.process.environment import child_environment
from qlib_shadow_runner.process.limits import peak_memory, read_limits
from qlib_shadow_runner.process.supervisor import Supervisor
from qlib_shadow_runner.process.tee import Tee
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.provenance import provenance
from qlib_shadow_runner.runs.request import StageInput, scratch_parent
from qlib_shadow_runner.runs.result import make_result, now
from qlib_shadow_runner.runs.values import whole
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.stages.download import download
from qlib_shadow_runner.stages.ledger import ledger, refuse_ledger
from qlib_shadow_runner.stages.outcome import Outcome, StageContext
from qlib_shadow_runner.stages.qrun import qrun
from qlib_shadow_runner.stages.stage_end import StageEnd
from qlib_shadow_runner.stages.update_catalog import update_catalog
from qlib_shadow_runner.storage.files import fenced
from qlib_shadow_runner.storage.scratch import scratch_folder
from qlib_shadow_runner.storage.volume import make_own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.runs.lease import Lease

WORK: Final[Mapping[Stage, Callable[[StageContext], Outcome]]] = {
    Stage.DOWNLOAD: download,
    Stage.QRUN: qrun,
    Stage.LEDGER: ledger,
}
"""The function that does each stage's work."""


@dataclass(frozen=True)
class Clock:
    """The start time of this attempt."""

    started_at: str = field(default_factory=now)
    ticks: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Return how long the attempt has taken."""
        return round(time.monotonic() - self.ticks, 3)


def run_stage(stage: Stage, environ: Mapping[str, str]) -> int:
    """Run one stage and return the exit code of the process."""
    os.umask(0o002)  # other pods of the same group share the volume
    is_closed = STAGES[stage].is_closed
    supervisor, clock = Supervisor(stage, closed=is_closed), Clock()
    end = StageEnd(stage, environ, clock.started_at)
    supervisor.listen()
    if is_closed:
        close_own_network()  # before there is another thread, which it would not reach
    supervisor.end_overdue(end.end_overdue)
    stage_input: StageInput | None = None
    try:
        stage_input = end.stage_input = StageInput.from_environ(stage, environ)
        folder = RunFolder.claim(stage_input.folder, stage_input.identity)
        lease = folder.lease
        assert lease is not None, "it was claimed"
        tee = _logs(folder.path, lease)
        attempt = folder.attempts(stage) + 1
    except Exception as error:  # noqa: BLE001 - without a folder only the log can say why
        return end.deliver(_result(stage, clock, stage_input, as_stage_error(error)))
    with lease.held(supervisor.end), fenced(lease.check), tee:
        end.record = lambda result: _record(
            folder, stage_input, attempt, clock, result, layers=supervisor.layers
        )
        result = _attempt(stage_input, folder, attempt, supervisor, tee=tee, clock=clock)
        tee.drain()
        with contextlib.suppress(OSError, StageError):  # a full disk must not hide the reason
            folder.write_result(stage, result)
        code = end.deliver(result)
        if stage is stage_input.stages[-1] and code != ExitCode.INTERRUPTED:
            update_catalog(stage_input, supervisor)
    return code


def _logs(folder: Path, lease: Lease) -> Tee:
    """Open the logs; a run whose logs cannot be written is over, and so is its lease."""
    try:
        return Tee(folder, lambda: not lease.superseded_error())
    except OSError:
        lease.release()
        raise


def _record(
    folder: RunFolder,
    stage_input: StageInput,
    attempt: int,
    clock: Clock,
    result: Result,
    *,
    layers: Sequence[str],
) -> None:
    """Record the result of a stage that another thread has to end."""
    folder.write_result(stage_input.stage, result)
    _finish(folder, stage_input, attempt, clock, result, layers=layers)


def _attempt(
    stage_input: StageInput,
    folder: RunFolder,
    attempt: int,
    supervisor: Supervisor,
    *,
    tee: Tee,
    clock: Clock,
) -> Result:
    """Run the stage and return its result; every exception becomes a result too."""
    outcome: Outcome | StageError
    tee.header(
        f"{clock.started_at} stage {stage_input.stage} attempt {attempt} "
        f"of run {stage_input.identity.run_id} "
        f"on {platform.node()} process {os.getpid()}"
    )
    try:
        _begin(stage_input, folder, attempt, clock)
        outcome = _work(stage_input, folder, supervisor, tee)
        supervisor.check()
    except Exception as error:  # noqa: BLE001 - the edge of the process
        outcome = folder.superseded_error() or as_stage_error(error)
        if outcome.reason is Reason.INTERNAL_ERROR:
            tee.write_to_log(traceback.format_exc())
    result = _result(
        stage_input.stage, clock, stage_input, outcome, commit=str(folder.metadata.get("git_commit", ""))
    )
    try:
        _finish(folder, stage_input, attempt, clock, result, layers=supervisor.layers)
    except (OSError, StageError) as error:
        result = _result(stage_input.stage, clock, stage_input, as_stage_error(error))
    return result


def _work(stage_input: StageInput, folder: RunFolder, supervisor: Supervisor, tee: Tee) -> Outcome:
    if stage_input.stage not in stage_input.stages:
        names = ", ".join(stage_input.stages)
        raise StageError(Reason.INVALID_SPEC, f"this run has no stage {stage_input.stage}; it has {names}")
    prefix, limits = f"{stage_input.identity.run_id}-", read_limits()
    with scratch_folder(prefix, scratch_parent(stage_input.work)) as scratch:
        context = StageContext(
            stage_input=stage_input,
            spec=parse_spec(stage_input.raw_spec),
            folder=folder,
            supervisor=supervisor,
            tee=tee,
            limits=limits,
            scratch=scratch,
            environ=child_environment(stage_input.environ, threads=limits.threads, scratch=str(scratch)),
        )
        if stage_input.stage is stage_input.stages[0]:
            refuse_ledger(context)
        return WORK[stage_input.stage](context)


def as_stage_error(error: Exception) -> StageError:
    """Return an exception as an error with a reason."""
    if isinstance(error, StageError):
        return error
    return from_os_error(error) if isinstance(error, OSError) else unexpected(error)


def _begin(stage_input: StageInput, folder: RunFolder, attempt: int, clock: Clock) -> None:
    """Record the run's identity and origin before the work starts.

    Later stages of a run with a ledger mount the folder of all books read-only, so it has to be there.
    """
    identity, before, pinned = stage_input.identity, folder.metadata, pinned_path(stage_input.raw_spec)
    writes = any(STAGES[stage].ledgers is Access.WRITTEN for stage in stage_input.stages)
    if writes and STAGES[stage_input.stage].ledgers is not Access.READ_ONLY:
        make_own_folder(stage_input.folder.parent / LEDGERS)
    folder.update_metadata(
        schema=1,
        run_id=identity.run_id,
        name=identity.name,
        namespace=identity.namespace,
        uid=identity.uid,
        series=series_of(stage_input.raw_spec),
        status="running",
        reason=None,
        started_at_utc=before.get("started_at_utc", clock.started_at),
        finished_at_utc=None,
        **_origin(stage_input),
        **({"dataset_resolved_path": pinned} if pinned else {}),  # prune keeps this version from now on
        stages=_with_record(folder, stage_input, {"attempts": attempt, "started_at_utc": clock.started_at}),
    )


def _origin(stage_input: StageInput) -> dict[str, object]:
    """Return the code and the machine of a run; what its training had stays, whatever comes afterwards."""
    if is_after_training(stage_input.stage, stage_input.stages):
        return {}
    return provenance(stage_input.environ, read_limits())


def _finish(
    folder: RunFolder,
    stage_input: StageInput,
    attempt: int,
    clock: Clock,
    result: Result,
    *,
    layers: Sequence[str],
) -> None:
    """Record the attempt; after the last stage or a failure, also the run's final status."""
    done = result["exitCode"] == ExitCode.DONE
    peak = peak_memory()
    record: dict[str, object] = {
        "attempts": attempt,
        "started_at_utc": clock.started_at,
        "finished_at_utc": result["finishedAt"],
        "seconds": clock.seconds,
        "exit_code": result["exitCode"],
        "reason": result["reason"],
        "peak_memory_bytes": peak.size,
        "peak_memory_source": peak.source,
    }
    stage = stage_input.stage
    ended: dict[str, object] = {}
    if STAGES[stage].trains:
        ended["network_guard"] = list(layers)  # what protected the training; no later stage replaces it
    elif STAGES[stage].is_closed:
        record["network_guard"] = list(layers)
    if not done or stage is stage_input.stages[-1]:
        status = COMPLETE if done else "interrupted" if result["reason"] == Reason.INTERRUPTED else "failed"
        ended |= {"status": status, "reason": result["reason"], "finished_at_utc": result["finishedAt"]}
    folder.update_metadata(
        stages=_with_record(folder, stage_input, record),
        peak_memory_bytes=max(peak.size, whole(folder.metadata.get("peak_memory_bytes")) or 0),
        **ended,
    )


def _with_record(
    folder: RunFolder, stage_input: StageInput, record: Mapping[str, object]
) -> dict[str, object]:
    """Return the records of all the run's stages, started or not, with this stage's record replaced."""
    before = folder.metadata.get("stages")
    known = before if isinstance(before, dict) else {}
    return {**{str(stage): {} for stage in stage_input.stages}, **known, str(stage_input.stage): dict(record)}


def _result(
    stage: Stage,
    clock: Clock,
    stage_input: StageInput | None,
    outcome: Outcome | StageError,
    *,
    commit: str = "",
) -> Result:
    ended = outcome if isinstance(outcome, StageError) else outcome.message
    result = make_result(
        stage, stage_input.identity if stage_input else None, ended, started_at=clock.started_at
    )
    if commit:
        result["gitCommit"] = commit
    if isinstance(outcome, Outcome):
        result.update(_findings(outcome))
    return result


def _findings(outcome: Outcome) -> Result:
    found = Result()
    if outcome.dataset:
        found["dataset"] = outcome.dataset
    if outcome.metrics:
        found["metrics"] = outcome.metrics
    if outcome.model:
        found["model"] = outcome.model
    if outcome.ledger:
        found["ledger"] = outcome.ledger
    if outcome.config_hash:
        found["configHash"] = outcome.config_hash
    return found
