"""MLflow's file store, read and repaired with the standard library: which runs there are, and their status.

Inside files only meta.yaml's flat `key: value` lines are touched. `artifact_uri` is absolute and breaks when
a folder moves, so artifacts are found beside the file instead. The store may be another run's: the folder in
which it lies is the root of everything that is read.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.relative_names import inside
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.untrusted import ARTIFACT, RECORD, copy_file, names_in, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

META: Final = "meta.yaml"
EXPERIMENT_META: Final = "experiment.yaml"
"""The record of a copied run's experiment, beside the record of the run."""
EXPERIMENT: Final = re.compile(r"[0-9]{1,20}")
NUMBER: Final = re.compile(r"[0-9]{1,18}")
RUN: Final = re.compile(r"[0-9a-f]{32}")
"""How MLflow names the folders of experiments and runs; folders with other names are ignored."""
LINE: Final = re.compile(r"[a-z_]+: ?[^\s\"{}&*!|>%@`\x00-\x1f][^\x00-\x1f\x7f-\x9f]*|[a-z_]+:")
"""One line of a record as MLflow writes it: a plain key and a plain value."""


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
    """Return every run of every experiment; folders that MLflow would not name so are ignored."""
    for experiment, about in _records(mlruns, "", EXPERIMENT):
        for run, meta in _records(mlruns, experiment, RUN):
            status, start = _number(meta, "status"), _number(meta, "start_time")
            yield MlflowRun(mlruns / experiment / run, about.get("name", ""), status, start)


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
            ended = {"status": str(int(status)), "end_time": str(int(time.time() * 1000))}
            _rewrite(mlruns, run.folder / META, ended)


def discard_broken(mlruns: Path) -> None:
    """Remove records that a killed process had only begun: MLflow fails on one without its first file."""
    for experiment in _folders(mlruns, "", EXPERIMENT):
        if "name" not in _read_if_whole(mlruns, experiment):
            discard(mlruns / experiment)
            continue
        for run in _folders(mlruns, experiment, RUN):
            if "artifact_uri" not in _read_if_whole(mlruns, f"{experiment}/{run}"):
                discard(mlruns / experiment / run)


def copy_run(run: MlflowRun, files: Iterable[str], target: Path) -> None:
    """Copy files of a run, its record and its experiment's into a folder, which is enough for `place_run`.

    Another run has written all of it: names are taken apart, and only records of MLflow's form are copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    store, home = run.folder.parents[1], run.folder.parent.name
    for name in files:
        path = inside(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_file(store.parent, f"{store.name}/{home}/{run.run_id}/{name}", ARTIFACT, path)
    for name, record in zip((META, EXPERIMENT_META), checked_records(run), strict=True):
        write_atomically(target / name, record.encode())


def checked_records(run: MlflowRun) -> tuple[str, str]:
    """Return the record of a run and of its experiment, or raise where they do not have MLflow's form."""
    store, home = run.folder.parents[1], run.folder.parent.name
    return _checked(store, f"{home}/{run.run_id}/{META}"), _checked(store, f"{home}/{META}")


def place_run(run: MlflowRun, copied: Path, mlruns: Path, experiment: str) -> MlflowRun:
    """Make a copied run a run of this experiment, in another store; return it. A rename makes it appear."""
    home = _experiment_for(run, copied, mlruns, experiment)
    finished = {"experiment_id": f"'{home.name}'", "status": str(int(RunStatus.FINISHED))}
    _rewrite(copied, copied / META, finished)
    (copied / EXPERIMENT_META).unlink()
    folder = home / run.run_id
    discard(folder)
    copied.rename(folder)
    rebase(mlruns)
    return MlflowRun(folder, experiment, RunStatus.FINISHED, run.start_time)


def _experiment_for(run: MlflowRun, copied: Path, mlruns: Path, experiment: str) -> Path:
    """Return the folder of the experiment of this name; create one like the run's own if there is none."""
    for name, about in _records(mlruns, "", EXPERIMENT):
        if about.get("name") == experiment:
            return mlruns / name
    home = mlruns / run.folder.parent.name
    home.mkdir(parents=True, exist_ok=True)
    like = read_text(copied, EXPERIMENT_META, RECORD)
    write_atomically(home / META, _changed(like, {"name": f"'{experiment}'"}).encode())
    return home


def rebase(mlruns: Path, seen_as: Path | None = None) -> None:
    """Set the absolute addresses in the store to the place where it lies, or to a path that leads there."""
    place = (seen_as or mlruns).absolute()
    for experiment, _ in _records(mlruns, "", EXPERIMENT):
        _rewrite(mlruns, mlruns / experiment / META, {"artifact_location": (place / experiment).as_uri()})
    for run in recorded_runs(mlruns):
        artifacts = place / run.artifacts.relative_to(mlruns)
        _rewrite(mlruns, run.folder / META, {"artifact_uri": artifacts.as_uri()})


def _text(mlruns: Path, name: str) -> str:
    """Return a record; the store's own folder may be no link either, so its parent is the root."""
    return read_text(mlruns.parent, f"{mlruns.name}/{name}", RECORD)


def _records(mlruns: Path, inner: str, name: re.Pattern[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the folders that have a record, each with its record."""
    for one in _folders(mlruns, inner, name):
        with contextlib.suppress(FileNotFoundError):
            yield one, _read(mlruns, f"{inner}/{one}" if inner else one)


def _read(mlruns: Path, folder: str) -> dict[str, str]:
    text = _text(mlruns, f"{folder}/{META}")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith(" "))
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}


def _read_if_whole(mlruns: Path, folder: str) -> dict[str, str]:
    try:
        return _read(mlruns, folder)
    except (FileNotFoundError, DamagedFileError):
        return {}


def _checked(mlruns: Path, name: str) -> str:
    """Return another run's record if each line has MLflow's form, so that changing a line changes the key."""
    text = _text(mlruns, name)
    lines = text.splitlines()
    keys = [line.partition(":")[0] for line in lines]
    if not all(map(LINE.fullmatch, lines)) or len(set(keys)) < len(keys):
        raise DamagedFileError(mlruns / name, "is not a record as MLflow writes it")
    return text


def _number(meta: dict[str, str], key: str) -> int:
    value = meta.get(key, "")
    return int(value) if NUMBER.fullmatch(value) else 0


def _rewrite(mlruns: Path, path: Path, changes: dict[str, str]) -> None:
    text = _text(mlruns, path.relative_to(mlruns).as_posix())
    write_atomically(path, _changed(text, changes).encode())


def _changed(text: str, changes: dict[str, str]) -> str:
    lines = (
        f"{key}: {changes[key]}" if (key := line.partition(":")[0]) in changes else line
        for line in text.splitlines()
    )
    return "\n".join(lines) + "\n"


def _folders(mlruns: Path, inner: str, name: re.Pattern[str]) -> list[str]:
    """Return the names of this form in the store, or in one of its experiments."""
    try:
        found = names_in(mlruns.parent, f"{mlruns.name}/{inner}" if inner else mlruns.name)
    except FileNotFoundError:
        return []
    return [one for one in found if name.fullmatch(one)]
