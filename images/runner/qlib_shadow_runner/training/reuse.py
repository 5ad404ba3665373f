"""Finished runs of the same computation: find one on the volume, check its hashes, copy its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import MLRUNS
from qlib_shadow_runner.crash_points import ReusePoint, fault_point
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.runs.mlruns import MlflowRun, checked_records, copy_run, place_run
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.volume import make_own_folder
from qlib_shadow_runner.training.checkpoints import HOME
from qlib_shadow_runner.training.finished_runs import finished_runs_with
from qlib_shadow_runner.training.trained import Trained, Unusable, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    for candidate, metadata in finished_runs_with(folder, "computation", computation):
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


def _examine(folder: Path, metadata: Mapping[str, object], computation: str) -> IdenticalRun:
    trained = Trained.read(folder)
    if trained is None or trained.computation != computation:
        raise Unusable(f"{folder} does not say what it trained")
    outputs = metadata.get("outputs")
    require_unchanged(folder, outputs if isinstance(outputs, dict) else {})
    recorded = trained.recorded_in(folder, folder.name)
    checked_records(recorded)
    return IdenticalRun(folder, metadata, trained, recorded)
