"""A stage that was told to stop ends with 143 and a result, whatever its own process waits for.

Real processes, each of which waits for ever at one place: in a read that Python begins again after a signal,
or where no signal is delivered, as while the kernel waits for a file server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StageEnviron = Callable[..., dict[str, str]]

SCRIPT = """
    import os, signal, sys, threading, time
    from qlib_shadow_runner.contract import Stage
    from qlib_shadow_runner.process import stop_deadline
    from qlib_shadow_runner.stages import harness
    from qlib_shadow_runner.storage import files

    stop_deadline.SECONDS = 0.3

    def waiting(function):
        def called(*arguments, **named):
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            os.mkfifo("never")
            {before}
            os.write(1, b"it waits\\n")
            {wait}
        return called

    {where} = waiting({where})
    sys.exit(harness.run_stage(Stage.QRUN, os.environ))
"""
IN_A_READ = ("pass", 'open("never")')
IN_THE_KERNEL = ("signal.pthread_sigmask(signal.SIG_BLOCK, [15, 2])", 'open("never")')
WAYS = {IN_A_READ: "a read", IN_THE_KERNEL: "the kernel"}
PHASES = {
    "before the folder is claimed": "harness.RunFolder.claim",
    "at the start": "harness.provenance",
    "before its work": "harness.parse_spec",
    "while it records its end": "harness._finish",
    "while the log is copied": "harness.Tee.drain",
}
SAMPLE = [
    ("before the folder is claimed", IN_A_READ),
    ("before its work", IN_THE_KERNEL),
    ("while it records its end", IN_A_READ),
]
ALL = [(phase, how) for phase in PHASES for how in (IN_A_READ, IN_THE_KERNEL)]
CASES = ALL if "QLIB_SHADOW_CHAOS_ROUNDS" in os.environ else SAMPLE


def stopped(tmp_path: Path, environ: dict[str, str], where: str, how: tuple[str, str]) -> int:
    """Run the stage until it waits, tell it to stop, and return its exit code."""
    script = textwrap.dedent(SCRIPT).format(where=where, before=how[0], wait=how[1])
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environ, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "it waits\n":
                break
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode


@pytest.mark.parametrize(
    ("phase", "how"),
    CASES,
    ids=[f"{phase}, {WAYS[how]}" for phase, how in CASES],
)
def test_sigterm_ends_a_stage_wherever_it_waits(
    tmp_path: Path, stage_environ: StageEnviron, phase: str, how: tuple[str, str]
):
    """Its result says so in the termination message, and in the run folder if it had one."""
    assert stopped(tmp_path, stage_environ(), PHASES[phase], how) == ExitCode.INTERRUPTED
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (message["reason"], message["exitCode"]) == ("Interrupted", ExitCode.INTERRUPTED)
    folder = tmp_path / "data/artifacts/trading-ops/qlib-shadow/demo-1"
    if phase != "before the folder is claimed":
        assert json.loads((folder / "results/qrun.json").read_bytes()) == message
        metadata = json.loads((folder / "RUN_METADATA.json").read_bytes())
        assert metadata["status"] == "interrupted"
        assert metadata["stages"]["qrun"]["exit_code"] == ExitCode.INTERRUPTED


def test_a_result_that_was_delivered_stays(tmp_path: Path, stage_environ: StageEnviron):
    """The catalog is updated after it, and readers of the result must not find another."""
    code = stopped(tmp_path, stage_environ(), "harness.update_catalog", IN_A_READ)
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert (message["reason"], message["exitCode"]) == ("DatasetMissing", code)
    assert code == ExitCode.BAD_DATA


def test_a_write_that_has_begun_is_not_cut(tmp_path: Path, stage_environ: StageEnviron):
    """The end waits for it, and then lets no other begin."""
    slowly = ("pass", "time.sleep(1); return function(*arguments, **named)")
    code = stopped(tmp_path, stage_environ(), "files._write_and_rename", slowly)
    folder = tmp_path / "data/artifacts/trading-ops/qlib-shadow/demo-1"
    assert code == ExitCode.INTERRUPTED
    assert json.loads((folder / "RUN_METADATA.json").read_bytes())["status"] == "interrupted"
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
