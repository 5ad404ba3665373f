"""A whole run on this machine: the same stages, as processes instead of Jobs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.golden import all_passed, as_document, verdict
from qlib_shadow_runner.cli.manifest import load_manifest
from qlib_shadow_runner.cli.own_template import own_text
from qlib_shadow_runner.cli.progress import display_for
from qlib_shadow_runner.contract import (
    ENV_DATA,
    ENV_REQUEST,
    ENV_TEMPLATE,
    ENV_TERMINATION_LOG,
    ENV_WORK,
    STDERR_FILE,
    SUMMARY_FILE,
    ExitCode,
    Reason,
    Stage,
)
from qlib_shadow_runner.files import read_json_object
from qlib_shadow_runner.supervisor import out_of_memory
from qlib_shadow_runner.verify import Line, verify_run
from qlib_shadow_runner.volume import Volume, make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from qlib_shadow_runner.contract import Request

INTERRUPTED_BY_HAND: Final = 130


class Interruption:
    """Ctrl-C and SIGTERM, handed on to the stage that is running."""

    def __init__(self) -> None:
        self.number = 0
        self.child: subprocess.Popen[str] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    @property
    def exit_code(self) -> int:
        """Give the code that shells expect."""
        return INTERRUPTED_BY_HAND if self.number == signal.SIGINT else ExitCode.INTERRUPTED

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.child.terminate()


def run_locally(file: Path, data: Path, *, template: Path | None, as_json: bool) -> int:
    """Run every stage of a manifest, then hold the run to its promises."""
    manifest = load_manifest(file)
    own = own_text(manifest, template)
    request = manifest.request(datetime.now(UTC))
    volume = Volume(data.absolute())
    make_folder(volume.mount)
    folder = volume.run_folder(request["runId"])
    if not as_json:
        sys.stdout.write(f"{request['runId']}\n")
    interruption = Interruption()
    result: Mapping[str, object] = {}
    for stage in Stage:
        result = run_stage_here(stage, request, volume, interruption, quiet=as_json, template=own)
        if result["exitCode"] != ExitCode.DONE:
            return report_failure(result, folder, interruption, as_json=as_json)
    lines = verify_run(folder, volume.mount)
    _report_success(result, folder, lines, as_json=as_json)
    return ExitCode.DONE if all_passed(lines) else ExitCode.INTERNAL


def run_stage_here(
    stage: Stage,
    request: Request,
    volume: Volume,
    interruption: Interruption,
    *,
    quiet: bool,
    template: str | None = None,
) -> Mapping[str, object]:
    """Run one stage as a process, as a Job would, and give the result that it left."""
    with tempfile.TemporaryDirectory(prefix="qlib-shadow-") as temporary:
        message = Path(temporary, "result.json")
        environ = {
            **os.environ,
            ENV_REQUEST: json.dumps(request),
            ENV_DATA: str(volume.mount),
            ENV_WORK: temporary,
            ENV_TERMINATION_LOG: str(message),
            **({} if template is None else {ENV_TEMPLATE: template}),
        }
        with display_for(stage, quiet=quiet) as display:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "qlib_shadow_runner", "stage", stage],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
            interruption.child = child
            if interruption.number:
                child.terminate()
            assert child.stdout is not None, "it is a pipe"
            for line in child.stdout:
                display.line(line)
            code = child.wait()
            interruption.child = None
            result = read_json_object(message) or _without_result(stage, code)
            display.close(str(result["message"]), failed=code != ExitCode.DONE)
    return result


def _without_result(stage: Stage, code: int) -> dict[str, object]:
    """Speak for a stage that was killed before it could."""
    if code == -signal.SIGKILL:
        killed = out_of_memory(f"the stage {stage}")
        return {"reason": killed.reason, "message": killed.message, "exitCode": killed.exit_code}
    message = f"the stage {stage} ended with code {code} and left no result"
    return {"reason": Reason.INTERNAL_ERROR, "message": message, "exitCode": ExitCode.INTERNAL}


def report_failure(
    result: Mapping[str, object], folder: Path, interruption: Interruption, *, as_json: bool
) -> int:
    """Say why it failed and where the log is; give the stage's code."""
    code = interruption.exit_code if interruption.number else int(str(result["exitCode"]))
    log = folder / STDERR_FILE
    if as_json:
        print_json({**result, "exitCode": code, "folder": str(folder)})
    else:
        where = f"\n  log: {_near(log)}" if log.exists() else ""
        sys.stderr.write(f"{result['reason']}: {result['message']}{where}\n")
    return code


def _report_success(result: Mapping[str, object], folder: Path, lines: list[Line], *, as_json: bool) -> None:
    if as_json:
        print_json({**result, "folder": str(folder), "golden": as_document(lines)})
        return
    failed = "".join(f"  {line}\n" for line in lines if not line.passed)
    sys.stdout.write(
        f"  {result['message']}     {verdict(lines)}\n{failed}  {_near(folder / SUMMARY_FILE)}\n"
    )


def _near(path: Path) -> str:
    """Name a path from here, where it lies below here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def print_json(document: Mapping[str, object]) -> None:
    """Say it to a program."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
