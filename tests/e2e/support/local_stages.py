"""Stages as local processes on their own volume: started, killed with all their children, and inspected."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract import (
    ARTIFACTS,
    ENV_DATA,
    ENV_GIT_COMMIT,
    ENV_REQUEST,
    ENV_TERMINATION_LOG,
    ENV_WORK,
)
from qlib_shadow_runner.crash_points import ENV_FAULT, REACHED
from qlib_shadow_runner.runs.mlruns import RunStatus, recorded_runs
from qlib_shadow_runner.tables.files import FAULTS_FILE, FILES
from qlib_shadow_runner.verify import AcceptanceLine, verify_run

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTPUTS = ("signals_ranked.parquet", "metrics.json", "backtest_summary.md", *FILES, FAULTS_FILE)
RUNNER = [sys.executable, "-m", "qlib_shadow_runner", "stage"]


def small_run() -> dict[str, Any]:
    """Return the spec of a small but complete run."""
    return {
        "dataset": {"source": {"synthetic": {"symbols": 10, "days": 260}}},
        "workflow": {"model": {"num_boost_round": 12, "min_child_samples": 5}},
    }


@dataclass
class LocalVolume:
    """A volume, and the stages of runs on it."""

    home: Path
    spec: dict[str, Any] = field(default_factory=small_run)
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def mount(self) -> Path:
        """Return the volume's folder."""
        return self.home / "data"

    def folder(self, run_id: str = "run-1") -> Path:
        """Return a run's folder."""
        return self.mount / ARTIFACTS / run_id

    def start(
        self,
        command: list[str],
        run_id: str = "run-1",
        environ: Mapping[str, str] | None = None,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a process as a Job does."""
        return subprocess.Popen(
            command,
            env={**self._environ(run_id), **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def stage(self, name: str, run_id: str = "run-1", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a stage to its end."""
        process = self.start([*RUNNER, name], run_id, environ)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def stop_at(
        self, point: str, run_id: str = "run-1", *, terminate: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run qrun to a fault point; then kill everything as a power cut does, or ask the stage to stop."""
        wish = {ENV_FAULT: f"{point} wait"}
        process = self.start([*RUNNER, "qrun"], run_id, wish, stderr=subprocess.STDOUT)
        assert process.stdout is not None, "it is a pipe"
        output = ""
        for line in process.stdout:
            output += line
            if line == f"{REACHED}{point}\n":
                break
        else:
            raise AssertionError(f"{point} was not reached:\n{output}")
        if terminate:
            process.terminate()
        else:
            kill_with_children(process.pid)
        output += process.communicate()[0]
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def run(self, run_id: str = "run-1", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run both stages; both must succeed."""
        for name in ("download", "qrun"):
            done = self.stage(name, run_id, **environ)
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def metadata(self, run_id: str = "run-1") -> dict[str, Any]:
        """Return RUN_METADATA.json."""
        return self._document(run_id, "RUN_METADATA.json")

    def result(self, run_id: str = "run-1") -> dict[str, Any]:
        """Return the last stage's result."""
        return self._document(run_id, "results/qrun.json")

    def log(self, name: str = "stdout.log", run_id: str = "run-1") -> str:
        """Return a log."""
        return (self.folder(run_id) / name).read_text(errors="replace")

    def outputs(self, run_id: str = "run-1") -> dict[str, bytes]:
        """Return the published outputs."""
        folder = self.folder(run_id)
        return {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).is_file()}

    def running(self, run_id: str = "run-1") -> list[str]:
        """Return the MLflow runs that are marked as running."""
        runs = recorded_runs(self.folder(run_id) / "mlruns")
        return [run.run_id for run in runs if run.status == RunStatus.RUNNING]

    def faults(self, run_id: str = "run-1") -> list[str]:
        """Verify a run; return the lines that fail."""
        lines = self.lines(run_id)
        assert len(lines) >= 12
        return [str(line) for line in lines if not line.passed]

    def lines(self, run_id: str = "run-1") -> list[AcceptanceLine]:
        """Verify a run; return all lines."""
        return verify_run(self.folder(run_id), self.mount)

    def _document(self, run_id: str, name: str) -> dict[str, Any]:
        document = json.loads((self.folder(run_id) / name).read_bytes())
        assert isinstance(document, dict)
        return document

    def _environ(self, run_id: str) -> Mapping[str, str]:
        work = self.home / "work"
        work.mkdir(parents=True, exist_ok=True)
        request = {
            "name": "run",
            "namespace": "here",
            "uid": run_id,
            "runId": run_id,
            "spec": self.spec,
        }
        return {
            **{name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "OPENBLAS_"))},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            ENV_REQUEST: json.dumps(request),
            ENV_DATA: str(self.mount),
            ENV_WORK: str(work),
            ENV_TERMINATION_LOG: str(self.home / "termination-log"),
            ENV_GIT_COMMIT: "0" * 40,
            **self.environ,
        }


def kill_with_children(pid: int) -> None:
    """Kill a process and all its children at one instant, as a power cut does."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)  # so that it starts no other child meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                kill_with_children(int(child))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
