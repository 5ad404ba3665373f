"""The files of each training step, kept in the run folder so that a later attempt need not repeat the step.

    .checkpoints/<computation>/model/model.txt    what the step made
    .checkpoints/<computation>/model.json         its files with their hashes; written last

The computation is a hash over configuration, data and versions: another one never finds these files. Nothing
is read before its hashes are checked. Standard library only; knows nothing of Qlib.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.runs.result import now
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.files import read_json_object, sync_folder, write_atomically
from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, listed_in, unlisted_file
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.untrusted import LISTING
from qlib_shadow_runner.storage.volume import make_own_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENV_CHECKPOINTS: Final = "QLIB_SHADOW_CHECKPOINTS"
"""The folder of the checkpoints, for a child of the stage; without it, as with plain qrun, none are kept."""
HOME: Final = ".checkpoints"
ENV_KEPT_MODEL: Final = "QLIB_SHADOW_KEPT_MODEL"
"""The run whose model is kept, for a child of the stage, which then must not train."""
ENV_LIVE_MODEL: Final = "QLIB_SHADOW_LIVE_MODEL"
"""The workflow's section about the live model as JSON, for a child of the stage; without it there is none."""


class TrainingStep(StrEnum):
    """The steps of a training, in order."""

    MODEL = "model"
    LIVE = "live"
    PREDICTION = "prediction"
    ANALYSIS = "analysis"
    BACKTEST = "backtest"


MODELS: Final = frozenset({TrainingStep.MODEL, TrainingStep.LIVE})
"""The steps that train."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of a finished step."""

    folder: Path
    details: Mapping[str, Any]
    kept_at: str

    def log_use(self, step: TrainingStep) -> None:
        """Print that the step is not repeated, and why it need not be."""
        print_line(f"{step}: taken from the checkpoint of {self.kept_at}, whose hashes hold")


@dataclass(frozen=True)
class CheckpointDraft:
    """The files of a step that is not finished."""

    step: TrainingStep
    folder: Path
    listing: Path

    def path(self, name: str) -> Path:
        """Return where a file of this step is to be written."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, details: Mapping[str, object]) -> None:
        """Bring every byte to the disk, then write the listing that makes it a checkpoint."""
        with sigterm_deferred():
            fault_point(QrunPoint(f"{self.step}-written"))
            sync_tree(self.folder)
            files = hash_files(self.folder)
            document = {"step": self.step, "kept_at": now(), "files": files, "details": details}
            # NaN is a figure here: a deviation of zero makes one.
            write_atomically(self.listing, json.dumps(document, indent=2).encode())
            sync_folder(self.listing.parent)
        fault_point(QrunPoint(f"{self.step}-kept"))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one computation."""

    home: Path

    @classmethod
    def of(cls, folder: Path, computation: str) -> Self:
        """Return a run's checkpoints of this computation, and remove those of any other."""
        make_own_folder(folder / HOME)
        home = folder / HOME / computation
        for other in (folder / HOME).iterdir():
            if other != home:
                discard(other)
        make_own_folder(home)
        return cls(home)

    @classmethod
    def from_environ(cls) -> Self | None:
        """Return the checkpoints that the stage has named to this child."""
        home = os.environ.get(ENV_CHECKPOINTS)
        return cls(Path(home)) if home else None

    def begin(self, step: TrainingStep) -> CheckpointDraft:
        """Return an empty draft; the old listing goes first, so that half of its files count as none."""
        kept = os.environ.get(ENV_KEPT_MODEL)
        if kept and step in MODELS:
            message = f"the model of the run {kept} is kept, and its checkpoint cannot be used"
            raise RuntimeError(message)
        draft = CheckpointDraft(step, self.home / step, self._listing(step))
        discard(draft.listing)
        discard(draft.folder)
        draft.folder.mkdir()
        return draft

    def find(self, step: TrainingStep) -> Checkpoint | None:
        """Return the checkpoint of an earlier attempt, if every byte is still what was written."""
        try:
            listing = read_json_object(self._listing(step), kind=LISTING)
        except DamagedFileError as error:
            _warn_unusable(step, str(error))
            return None
        if listing is None:
            return None
        files, folder, details = listed_in(listing), self.home / step, listing.get("details")
        fault = first_fault(folder, files) or unlisted_file(folder, files)  # the whole folder is restored
        if fault or not isinstance(details, dict):
            _warn_unusable(step, fault or "its listing is damaged")
            return None
        return Checkpoint(self.home / step, details, str(listing.get("kept_at")))

    def _listing(self, step: TrainingStep) -> Path:
        return self.home / f"{step}.json"


def _warn_unusable(step: TrainingStep, fault: str) -> None:
    print_error(f"warning: the checkpoint of the {step} cannot be used: {fault}. The step is done again.")


def clear(folder: Path) -> None:
    """Remove a run's checkpoints: its outputs are written."""
    shutil.rmtree(folder / HOME, ignore_errors=True)


@contextlib.contextmanager
def sigterm_deferred() -> Iterator[None]:
    """Deliver a SIGTERM only after the block, so that a write is not cut."""
    deferred: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: deferred.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if deferred:
            os.kill(os.getpid(), signal.SIGTERM)


MADE_WITH: Final = ("git_commit", "image", "python", "packages")
"""What RUN_METADATA.json says of the code."""
CHANGED: Final = "-dirty"


def computation(config_hash: str, seed: int, metadata: Mapping[str, object]) -> str:
    """Return the hash over all that the outcome follows from; the data is in the configuration's hash."""
    document = {
        "config_hash": config_hash,
        "seed": seed,
        "machine": platform.machine(),
        **{key: metadata.get(key) for key in MADE_WITH},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def code_is_known(metadata: Mapping[str, object]) -> bool:
    """Return whether the commit identifies the code that ran; uncommitted changes have no name."""
    return not str(metadata.get("git_commit")).endswith(CHANGED)
