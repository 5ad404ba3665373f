"""MLflow's file store, read and mended with the standard library: which runs are there, and how they ended.

Only meta.yaml's flat `key: value` lines are touched. `artifact_uri` is absolute and breaks when a
folder moves, so artifacts are found beside the file instead.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

META: Final = "meta.yaml"


class RunStatus(IntEnum):
    """MLflow's numbers."""

    RUNNING = 1
    SCHEDULED = 2
    FINISHED = 3
    FAILED = 4
    KILLED = 5


@dataclass(frozen=True)
class MlflowRun:
    """One recorded run."""

    folder: Path
    experiment: str
    status: int
    start_time: int

    @property
    def run_id(self) -> str:
        """Give MLflow's id."""
        return self.folder.name

    @property
    def artifacts(self) -> Path:
        """Say where its pickles lie."""
        return self.folder / "artifacts"


def recorded_runs(mlruns: Path) -> Iterator[MlflowRun]:
    """Give every run of every experiment."""
    for experiment in sorted(mlruns.glob(f"*/{META}")):
        name = _read(experiment).get("name", "")
        for path in sorted(experiment.parent.glob(f"*/{META}")):
            meta = _read(path)
            yield MlflowRun(path.parent, name, _number(meta, "status"), _number(meta, "start_time"))


def finished_run(mlruns: Path, experiment: str) -> MlflowRun | None:
    """Find the newest run of this experiment that came to its end."""
    runs = [
        run
        for run in recorded_runs(mlruns)
        if run.experiment == experiment and run.status == RunStatus.FINISHED
    ]
    return max(runs, key=lambda run: run.start_time, default=None)


def settle(mlruns: Path, status: RunStatus) -> None:
    """End the runs whose process is gone: nobody else will."""
    for run in recorded_runs(mlruns):
        if run.status in (RunStatus.RUNNING, RunStatus.SCHEDULED):
            _rewrite(
                run.folder / META, {"status": str(int(status)), "end_time": str(int(time.time() * 1000))}
            )


def rebase(mlruns: Path) -> None:
    """Let the absolute addresses inside the store name the place where it really lies."""
    for path in mlruns.glob(f"*/{META}"):
        _rewrite(path, {"artifact_location": path.parent.absolute().as_uri()})
    for run in recorded_runs(mlruns):
        _rewrite(run.folder / META, {"artifact_uri": run.artifacts.absolute().as_uri()})


def _read(path: Path) -> dict[str, str]:
    pairs = (
        line.partition(":")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith(" ")
    )
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}


def _number(meta: dict[str, str], key: str) -> int:
    value = meta.get(key, "")
    return int(value) if value.isdigit() else 0


def _rewrite(path: Path, changes: dict[str, str]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    changed = [
        f"{key}: {changes[key]}" if (key := line.partition(":")[0]) in changes else line for line in lines
    ]
    write_atomically(path, ("\n".join(changed) + "\n").encode())
