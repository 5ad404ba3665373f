"""What a finished training left: the MLflow run of a computation, and the hashes of its files.

It lies in the results of the run folder, written when qrun has succeeded. A recorded run is used again only
after its hashes were checked.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import MLRUNS, RESULTS
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.runs.mlruns import META, MlflowRun, finished_run
from qlib_shadow_runner.storage.files import read_json_object, read_json_object_of_others, write_json
from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, listed_in
from qlib_shadow_runner.storage.untrusted import LISTING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TRAINED_FILE: Final = "trained.json"
REPORT: Final = re.compile(r"features-[0-9]{1,9}\.json")


class Unusable(Exception):  # noqa: N818 - it is a finding
    """What was recorded is not what was written."""


@dataclass(frozen=True)
class Trained:
    """The record of a finished training."""

    computation: str
    mlflow_run_id: str
    files: Mapping[str, str]
    """The hash of each file of the MLflow run, except those that MLflow and its users change later."""
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
        """Return the record of an MLflow run, with the hashes of its files as they are now."""
        files = hash_files(recorded.folder)
        kept = {name: digest for name, digest in files.items() if not _changes_later(name)}
        return cls(computation, recorded.run_id, kept, reused_from, features)

    @classmethod
    def read(cls, folder: Path) -> Trained | None:
        """Return the record in a run folder, if there is one; raise where it can be no record of a run."""
        try:
            found = read_json_object(folder / RESULTS / TRAINED_FILE, folder, LISTING) or {}
        except DamagedFileError as error:
            raise Unusable(str(error)) from error
        if not isinstance(found.get("files"), dict):
            return None
        source, features = found.get("reused_from"), found.get("features")
        if source is not None and run_id_fault(str(source)) is not None:
            raise Unusable(f"{folder / RESULTS / TRAINED_FILE} names no run in reused_from")
        return cls(
            str(found.get("computation")),
            str(found.get("mlflow_run_id")),
            listed_in(found),
            str(source) if source else None,
            features if isinstance(features, dict) else None,
        )

    def write(self, folder: Path) -> None:
        """Write the record into a run folder."""
        write_json(folder / RESULTS / TRAINED_FILE, asdict(self))

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove the record from a run folder."""
        (folder / RESULTS / TRAINED_FILE).unlink(missing_ok=True)

    def recorded_in(self, folder: Path, experiment: str) -> MlflowRun:
        """Return the MLflow run, every byte as it was written, or raise with what is wrong."""
        recorded = finished_run(folder / MLRUNS, experiment)
        if recorded is None or recorded.run_id != self.mlflow_run_id:
            raise Unusable(f"{folder / MLRUNS} has no finished run {self.mlflow_run_id}")
        require_unchanged(recorded.folder, self.files)
        return recorded


def require_unchanged(folder: Path, files: Mapping[str, object]) -> None:
    """Raise where a file does not have its hash."""
    fault = first_fault(folder, files)
    if fault:
        raise Unusable(fault)


def _changes_later(name: str) -> bool:
    return name == META or name.startswith("tags/")


def report_path(home: Path, attempt: int) -> Path:
    """Return where an attempt writes what became of its features."""
    return home / f"features-{attempt}.json"


def features_of_last_attempt(home: Path) -> dict[str, object] | None:
    """Return what the last attempt that computed or found features wrote, and which attempt that was."""
    paths = (path for path in home.glob("features-*.json") if REPORT.fullmatch(path.name))
    attempts = sorted({int(path.stem.rpartition("-")[2]) for path in paths}, reverse=True)
    found = ((attempt, read_json_object_of_others(report_path(home, attempt))) for attempt in attempts)
    return next(({**report, "attempt": attempt} for attempt, report in found if report), None)
