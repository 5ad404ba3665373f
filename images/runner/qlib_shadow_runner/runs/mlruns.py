"""MLflow's file store, read and repaired with the standard library: which runs there are, and their status.

Inside files only meta.yaml's flat `key: value` lines are touched. `artifact_uri` is absolute and breaks when
a folder moves, so artifacts are found beside the file instead.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.storage.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

META: Final = "meta.yaml"
EXPERIMENT_META: Final = "experiment.yaml"
"""The record of a copied run's experiment, beside the record of the run."""
EXPERIMENT: Final = re.compile(r"\d+")
NUMBER: Final = re.compile(r"[0-9]{1,18}")
RUN: Final = re.compile(r"[0-9a-f]{32}")
"""How MLflow names the folders of experiments and runs; folders with other names are ignored."""


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
        """Return MLflow's id."""
        return self.folder.name

    @property
    def artifacts(self) -> Path:
        """Return the folder of its pickles."""
        return self.folder / "artifacts"


def recorded_runs(mlruns: Path) -> Iterator[MlflowRun]:
    """Return every run of every experiment."""
    for experiment in sorted(mlruns.glob(f"*/{META}")):
        name = _read(experiment).get("name", "")
        for path in sorted(experiment.parent.glob(f"*/{META}")):
            meta = _read(path)
            yield MlflowRun(path.parent, name, _number(meta, "status"), _number(meta, "start_time"))


def finished_run(mlruns: Path, experiment: str) -> MlflowRun | None:
    """Return the newest finished run of this experiment."""
    runs = [
        run
        for run in recorded_runs(mlruns)
        if run.experiment == experiment and run.status == RunStatus.FINISHED
    ]
    return max(runs, key=lambda run: run.start_time, default=None)


def settle(mlruns: Path, status: RunStatus) -> None:
    """Set the status of runs whose process is gone, since no other process will."""
    for run in recorded_runs(mlruns):
        if run.status in (RunStatus.RUNNING, RunStatus.SCHEDULED):
            _rewrite(
                run.folder / META, {"status": str(int(status)), "end_time": str(int(time.time() * 1000))}
            )


def discard_broken(mlruns: Path) -> None:
    """Remove records that a killed process had only begun: MLflow fails on one without its first file."""
    for experiment in _folders(mlruns, EXPERIMENT):
        if "name" not in _read_if_there(experiment / META):
            shutil.rmtree(experiment)
            continue
        for run in _folders(experiment, RUN):
            if "artifact_uri" not in _read_if_there(run / META):
                shutil.rmtree(run)


def copy_run(run: MlflowRun, files: Iterable[str], target: Path) -> None:
    """Copy files of a run, its record and its experiment's into a folder, which is enough for `place_run`."""
    for name in (META, *files):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.folder / name, path)
    shutil.copyfile(run.folder.parent / META, target / EXPERIMENT_META)


def place_run(run: MlflowRun, copied: Path, mlruns: Path, experiment: str) -> MlflowRun:
    """Make a copied run a run of this experiment, in another store; return it. A rename makes it appear."""
    home = _experiment_for(run, copied, mlruns, experiment)
    _rewrite(copied / META, {"experiment_id": f"'{home.name}'", "status": str(int(RunStatus.FINISHED))})
    (copied / EXPERIMENT_META).unlink()
    folder = home / run.run_id
    shutil.rmtree(folder, ignore_errors=True)
    copied.rename(folder)
    rebase(mlruns)
    return MlflowRun(folder, experiment, RunStatus.FINISHED, run.start_time)


def _experiment_for(run: MlflowRun, copied: Path, mlruns: Path, experiment: str) -> Path:
    """Return the folder of the experiment of this name; create one like the run's own if there is none."""
    for meta in mlruns.glob(f"*/{META}"):
        if _read(meta).get("name") == experiment:
            return meta.parent
    home = mlruns / run.folder.parent.name
    home.mkdir(parents=True, exist_ok=True)
    like = (copied / EXPERIMENT_META).read_text(encoding="utf-8")
    write_atomically(home / META, _changed(like, {"name": f"'{experiment}'"}).encode())
    return home


def rebase(mlruns: Path, seen_as: Path | None = None) -> None:
    """Set the absolute addresses in the store to the place where it lies, or to a path that leads there."""
    place = (seen_as or mlruns).absolute()
    for path in mlruns.glob(f"*/{META}"):
        _rewrite(path, {"artifact_location": (place / path.parent.name).as_uri()})
    for run in recorded_runs(mlruns):
        artifacts = place / run.artifacts.relative_to(mlruns)
        _rewrite(run.folder / META, {"artifact_uri": artifacts.as_uri()})


def _read(path: Path) -> dict[str, str]:
    pairs = (
        line.partition(":")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith(" ")
    )
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}


def _number(meta: dict[str, str], key: str) -> int:
    value = meta.get(key, "")
    return int(value) if NUMBER.fullmatch(value) else 0


def _rewrite(path: Path, changes: dict[str, str]) -> None:
    write_atomically(path, _changed(path.read_text(encoding="utf-8"), changes).encode())


def _changed(text: str, changes: dict[str, str]) -> str:
    lines = (
        f"{key}: {changes[key]}" if (key := line.partition(":")[0]) in changes else line
        for line in text.splitlines()
    )
    return "\n".join(lines) + "\n"


def _folders(parent: Path, name: re.Pattern[str]) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if name.fullmatch(path.name) and path.is_dir()]


def _read_if_there(path: Path) -> dict[str, str]:
    return _read(path) if path.is_file() else {}
