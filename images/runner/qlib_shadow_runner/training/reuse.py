"""Finished runs of the same computation: find one on the volume, check its hashes, copy its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import METADATA_FILE, MLRUNS
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.crash_points import ReusePoint, fault_point
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.runs.mlruns import MlflowRun, checked_records, copy_run, place_run
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.untrusted import DOCUMENT, names_in, read_file, read_object
from qlib_shadow_runner.storage.volume import make_own_folder
from qlib_shadow_runner.training.checkpoints import HOME
from qlib_shadow_runner.training.trained import Trained, Unusable, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STAGING: Final = "taken-over"


@dataclass(frozen=True)
class IdenticalRun:
    """A finished run of the same computation."""

    folder: Path
    metadata: Mapping[str, object]
    trained: Trained
    recorded: MlflowRun

    @property
    def run_id(self) -> str:
        """Return its id, which is its folder's name."""
        return self.folder.name

    @property
    def signals_sha256(self) -> str:
        """Return the hash of its signals."""
        return str(self.metadata.get("signals_sha256"))


def find_identical_run(folder: Path, computation: str) -> IdenticalRun | None:
    """Return the first run that finished this computation and whose files are still what it wrote."""
    for candidate, metadata in _candidates(folder, computation):
        try:
            return _examine(candidate, metadata, computation)
        except (Unusable, OSError) as why:
            print_error(f"warning: the run {candidate.name} is identical but cannot be used: {why}")
    return None


def copy_training(identical_run: IdenticalRun, folder: Path) -> MlflowRun | None:
    """Copy what it trained and evaluated; return None where it was removed or changed meanwhile."""
    make_own_folder(folder / HOME)
    staging = folder / HOME / STAGING
    discard(staging)
    try:
        copy_run(identical_run.recorded, identical_run.trained.files, staging)
        require_unchanged(staging, identical_run.trained.files)
    except (Unusable, FileNotFoundError, DamagedFileError) as why:
        print_error(f"warning: the run {identical_run.run_id} went away while it was copied: {why}")
        return None
    fault_point(ReusePoint.COPIED)
    recorded = place_run(identical_run.recorded, staging, folder / MLRUNS, folder.name)
    fault_point(ReusePoint.PLACED)
    source = identical_run.trained.reused_from or identical_run.run_id
    Trained.of(recorded, identical_run.trained.computation, reused_from=source).write(folder)
    fault_point(ReusePoint.RECORDED)
    return recorded


def _candidates(folder: Path, computation: str) -> Iterator[tuple[Path, Mapping[str, object]]]:
    """Return the finished runs of this computation beside a run, the oldest first: it did the work."""
    found = []
    for name in names_in(folder.parent):
        metadata = _metadata(folder.parent, name, computation) if name != folder.name else {}
        if metadata.get("status") == "complete":
            found.append((folder.parent / name, metadata))
    return iter(sorted(found, key=lambda pair: str(pair[1].get("finished_at_utc"))))


def _metadata(runs: Path, name: str, computation: str) -> Mapping[str, object]:
    """Return a run's metadata if it is of this computation; most are not, and need not be parsed."""
    if run_id_fault(name) is not None:
        return {}
    try:
        if computation.encode() not in read_file(runs, f"{name}/{METADATA_FILE}", DOCUMENT):
            return {}
        metadata = read_object(runs, f"{name}/{METADATA_FILE}")
    except OSError:  # it is no run, is being removed, or is damaged, as the list of runs tells
        return {}
    of_this = metadata.get("computation") == computation and metadata.get("run_id") == name
    return metadata if of_this else {}


def _examine(folder: Path, metadata: Mapping[str, object], computation: str) -> IdenticalRun:
    trained = Trained.read(folder)
    if trained is None or trained.computation != computation:
        raise Unusable(f"{folder} does not say what it trained")
    outputs = metadata.get("outputs")
    require_unchanged(folder, outputs if isinstance(outputs, dict) else {})
    recorded = trained.recorded_in(folder, folder.name)
    checked_records(recorded)
    return IdenticalRun(folder, metadata, trained, recorded)
