"""`qlib-shadow run`: all stages of a run on this machine, as processes instead of Jobs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.cli.deadline import deadlines
from qlib_shadow_runner.cli.exit_codes import INTERRUPTED_BY_HAND
from qlib_shadow_runner.cli.options import default_data
from qlib_shadow_runner.cli.prices_in_place import volume_with
from qlib_shadow_runner.cli.resume import run_to_continue
from qlib_shadow_runner.cli.run_folder_lock import is_continued, locked_run_folder
from qlib_shadow_runner.cli.run_manifest import load_manifest
from qlib_shadow_runner.cli.stage_progress import display_for
from qlib_shadow_runner.cli.user_template import user_template_text
from qlib_shadow_runner.cli.verify import all_passed, as_document, record_golden, verdict
from qlib_shadow_runner.contract import (
    ENV_DATA,
    ENV_PRICES,
    ENV_REQUEST,
    ENV_TEMPLATE,
    ENV_TERMINATION_LOG,
    ENV_WORK,
    METADATA_FILE,
    REPORT_FILE,
    STDERR_FILE,
    SUMMARY_FILE,
    ExitCode,
    Reason,
    Stage,
)
from qlib_shadow_runner.contract.stages import stages_of
from qlib_shadow_runner.printing import print_error, print_json, print_line, print_lines
from qlib_shadow_runner.process.supervisor import out_of_memory
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.storage.scratch import scratch_folder
from qlib_shadow_runner.storage.volume import make_folder
from qlib_shadow_runner.verify import AcceptanceLine, verify_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from qlib_shadow_runner.cli.deadline import Deadline
    from qlib_shadow_runner.cli.stage_progress import Display
    from qlib_shadow_runner.contract import Request
    from qlib_shadow_runner.storage.volume import Volume


class Interruption:
    """Passes Ctrl-C and SIGTERM on to the stage that is running."""

    def __init__(self) -> None:
        self.number = 0
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """Return the exit code that shells expect."""
        return INTERRUPTED_BY_HAND if self.number == signal.SIGINT else ExitCode.INTERRUPTED

    @contextlib.contextmanager
    def reaches(self, child: subprocess.Popen[str]) -> Iterator[None]:
        """Stop this child when a signal comes, or has come already."""
        self._child = child
        if self.number:
            child.terminate()
        yield
        self._child = None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()


def run_locally(
    file: Path,
    data: Path,
    *,
    template: Path | None,
    prices: Path | None,
    resume: bool,
    deadline: str | None,
    as_json: bool,
) -> int:
    """Run every stage of a manifest, then verify the run."""
    manifest = load_manifest(file)
    limits = deadlines(manifest.parse(), deadline)
    own_template = user_template_text(manifest, template)
    continued = run_to_continue(manifest, own_template, data) if resume else None
    request = manifest.request(datetime.now(UTC), own_template, continued)
    volume = volume_with(data, manifest, prices)
    make_folder(volume.mount)
    code = run_request(request, volume, limits, own_template, as_json=as_json)
    if code in (INTERRUPTED_BY_HAND, ExitCode.INTERRUPTED) and not as_json:
        flag = "" if manifest.parse().run_id else " --resume"
        where = "" if data == default_data() else f" --data {data}"
        print_error(f"  to continue it: qlib-shadow run {file}{where}{flag}")
    return code


def run_request(
    request: Request,
    volume: Volume,
    limits: Mapping[Stage, Deadline],
    template: str | None,
    *,
    as_json: bool,
) -> int:
    """Run every stage of a request in its run folder, then verify the run."""
    folder = volume.run_folder(request["runId"])
    with locked_run_folder(folder, request) as lock:
        if not as_json:
            print_line(f"{request['runId']}{'  continued' if is_continued(folder) else ''}")
        return _all_stages(request, volume, LocalRunOptions(as_json, limits, template, lock))


@dataclass(frozen=True)
class LocalRunOptions:
    """How the stages of one run are run."""

    quiet: bool
    deadlines: Mapping[Stage, Deadline]
    template: str | None = None
    lock: int | None = None
    """The descriptor of the run folder's lock, which the stages inherit."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """Return the descriptors that a stage inherits."""
        return () if self.lock is None else (self.lock,)


def _all_stages(request: Request, volume: Volume, options: LocalRunOptions) -> int:
    folder = volume.run_folder(request["runId"])
    results: dict[Stage, Mapping[str, object]] = {}
    with Interruption() as interruption:
        for stage in stages_of(request["spec"]):
            result = results[stage] = run_stage_here(stage, request, volume, interruption, options)
            if result["exitCode"] != ExitCode.DONE:
                return report_failure(result, folder, interruption, as_json=options.quiet)
    lines = verify_run(folder, volume.mount)
    record_golden(folder, lines)
    _report_success(results, folder, lines, as_json=options.quiet)
    return ExitCode.DONE if all_passed(lines) else ExitCode.INTERNAL


def run_stage_here(
    stage: Stage, request: Request, volume: Volume, interruption: Interruption, options: LocalRunOptions
) -> Mapping[str, object]:
    """Run one stage as a process, as a Job would, and return its result."""
    deadline = options.deadlines[stage]
    with scratch_folder("qlib-shadow-") as temporary:
        message = temporary / "result.json"
        environ = {
            **os.environ,
            ENV_REQUEST: json.dumps(request),
            ENV_DATA: str(volume.mount),
            ENV_PRICES: str(volume.prices or ""),
            ENV_WORK: str(temporary),
            ENV_TERMINATION_LOG: str(message),
            **({} if options.template is None else {ENV_TEMPLATE: options.template}),
        }
        with display_for(stage, quiet=options.quiet) as display:
            code = _watch(_start(stage, environ, options), display, interruption, deadline)
            result = read_json_object(message) or _without_result(stage, code)
            if deadline.passed and code != ExitCode.DONE:
                result = deadline.result(result)
                deadline.record(RunFolder(volume.run_folder(request["runId"])), result)
            display.close(str(result["message"]), failed=code != ExitCode.DONE)
    return result


def _start(stage: Stage, environ: Mapping[str, str], options: LocalRunOptions) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "qlib_shadow_runner", "stage", stage],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=options.inherited,
        start_new_session=True,  # so that it gets a Ctrl-C once, from this process
    )


def _watch(
    child: subprocess.Popen[str], display: Display, interruption: Interruption, deadline: Deadline
) -> int:
    """Show what a stage prints until it ends; return its exit code."""
    with deadline.ends(child), child, interruption.reaches(child):
        assert child.stdout is not None, "stdout is a pipe"
        for line in child.stdout:
            display.line(line)
    return child.returncode


def _without_result(stage: Stage, code: int) -> dict[str, object]:
    """Return a result for a stage that was killed before it wrote one."""
    if code == -signal.SIGKILL:
        killed = out_of_memory(f"the stage {stage}", stage)
        return {"reason": killed.reason, "message": killed.message, "exitCode": killed.exit_code}
    message = f"the stage {stage} ended with code {code} and left no result"
    return {"reason": Reason.INTERNAL_ERROR, "message": message, "exitCode": ExitCode.INTERNAL}


def report_failure(
    result: Mapping[str, object], folder: Path, interruption: Interruption, *, as_json: bool
) -> int:
    """Print why the stage failed and where its log is; return the exit code."""
    code = interruption.exit_code if interruption.number else int(str(result["exitCode"]))
    log = folder / STDERR_FILE
    if as_json:
        print_json({**result, "exitCode": code, "folder": str(folder)})
    else:
        print_error(f"{result['reason']}: {result['message']}")
        if log.exists():
            print_error(f"  log: {_short_path(log)}")
    return code


def _report_success(
    results: Mapping[Stage, Mapping[str, object]],
    folder: Path,
    lines: list[AcceptanceLine],
    *,
    as_json: bool,
) -> None:
    found = (read_json_object(folder / METADATA_FILE) or {}).get("verdict")
    if as_json:
        told: dict[str, object] = {}
        for result in results.values():  # of a ledger's stage, beside the figures of the training
            told |= result
        print_json({**told, "folder": str(folder), "verdict": found, "golden": as_document(lines)})
        return
    failed = [f"  {line}" for line in lines if not line.passed]
    report = folder / REPORT_FILE
    page = report if report.exists() else folder / SUMMARY_FILE
    judged = [f"  {found}"] if found else []
    first = f"  {results[Stage.QRUN]['message']}     {verdict(lines)}"
    recorded = [f"  {results[Stage.LEDGER]['message']}"] if Stage.LEDGER in results else []
    print_lines([first, *judged, *recorded, *failed, f"  {_short_path(page)}"])


def _short_path(path: Path) -> str:
    """Return the path relative to the working directory, if it is below it."""
    working_directory = Path.cwd()
    below = path.is_relative_to(working_directory)
    return str(path.relative_to(working_directory) if below else path)
