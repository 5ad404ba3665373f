"""What a finished training left: the MLflow run that answers a computation, and the hashes of its files.

It lies in the run folder's results, written when qrun has ended well. Nobody uses a recorded run again before
its hashes hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import MLRUNS, RESULTS
from qlib_shadow_runner.runs.mlruns import META, MlflowRun, finished_run
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.training.checkpoints import first_fault, hash_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TRAINED_FILE: Final = "trained.json"


class Unusable(Exception):  # noqa: N818 - it is a finding
    """What was recorded is not what was written."""


@dataclass(frozen=True)
class Trained:
    """The record of it."""

    computation: str
    mlflow_run_id: str
    files: Mapping[str, str]
    """The sha256 of each file of the MLflow run, but for what MLflow and its users change later."""
    reused_from: str | None = None
    """The run that did the training, where it was another."""
    features: Mapping[str, object] | None = None
    """What became of the features, and in which attempt; None where Qlib made them, or another run."""

    @classmethod
    def of(
        cls,
        recorded: MlflowRun,
        computation: str,
        *,
        reused_from: str | None = None,
        features: Mapping[str, object] | None = None,
    ) -> Trained:
        """Hash what was recorded."""
        files = hash_files(recorded.folder)
        kept = {name: digest for name, digest in files.items() if not _changes_later(name)}
        return cls(computation, recorded.run_id, kept, reused_from, features)

    @classmethod
    def read(cls, folder: Path) -> Trained | None:
        """Read it from a run folder."""
        found = read_json_object(folder / RESULTS / TRAINED_FILE) or {}
        files = found.get("files")
        if not isinstance(files, dict):
            return None
        source, features = found.get("reused_from"), found.get("features")
        return cls(
            str(found.get("computation")),
            str(found.get("mlflow_run_id")),
            {str(name): str(digest) for name, digest in files.items()},
            str(source) if source else None,
            features if isinstance(features, dict) else None,
        )

    def write(self, folder: Path) -> None:
        """Write it into a run folder."""
        write_json(folder / RESULTS / TRAINED_FILE, asdict(self))

    def recorded_in(self, folder: Path, experiment: str) -> MlflowRun:
        """Find the MLflow run, every byte as it was written, or say what is wrong."""
        recorded = finished_run(folder / MLRUNS, experiment)
        if recorded is None or recorded.run_id != self.mlflow_run_id:
            raise Unusable(f"{folder / MLRUNS} has no finished run {self.mlflow_run_id}")
        require_unchanged(recorded.folder, self.files)
        return recorded


def require_unchanged(folder: Path, files: Mapping[str, str]) -> None:
    """Hold files to their hashes."""
    fault = first_fault(folder, files)
    if fault:
        raise Unusable(fault)


def _changes_later(name: str) -> bool:
    return name == META or name.startswith("tags/")


def report_path(home: Path, attempt: int) -> Path:
    """Say where an attempt writes it down."""
    return home / f"features-{attempt}.json"


def features_of_last_attempt(home: Path) -> dict[str, object] | None:
    """Give the last attempt's that computed or found any, and which attempt that was."""
    told = {int(path.stem.rpartition("-")[2]): path for path in home.glob("features-*.json")}
    found = ((attempt, read_json_object(told[attempt])) for attempt in sorted(told, reverse=True))
    return next(({**report, "attempt": attempt} for attempt, report in found if report), None)
