"""What a step of the training made, kept in the run folder so that a later attempt need not make it again.

    .checkpoints/<computation>/model/model.txt    what the step made
    .checkpoints/<computation>/model.json         its files and their sha256; written last

The computation names the question, the data and the versions: another one never finds these. Nothing is read
before its hash holds. Standard library only; knows nothing of Qlib.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.runs.result import now
from qlib_shadow_runner.storage.files import read_json_object, sync_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENV_CHECKPOINTS: Final = "QLIB_SHADOW_CHECKPOINTS"
"""Tells the training where its checkpoints lie; without it, as with plain qrun, none are kept."""
HOME: Final = ".checkpoints"


class TrainingStep(StrEnum):
    """What is done, in order."""

    MODEL = "model"
    PREDICTION = "prediction"
    ANALYSIS = "analysis"
    BACKTEST = "backtest"


@dataclass(frozen=True)
class Checkpoint:
    """What a step left."""

    folder: Path
    details: Mapping[str, Any]
    kept_at: str

    def tell(self, step: TrainingStep) -> None:
        """Say what is not done again, and why it need not be."""
        sys.stdout.write(f"{step}: taken from the checkpoint of {self.kept_at}, whose hashes hold\n")


@dataclass(frozen=True)
class CheckpointDraft:
    """What a step is about to leave."""

    step: TrainingStep
    folder: Path
    listing: Path

    def path(self, name: str) -> Path:
        """Say where a file of this step goes."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, details: Mapping[str, object]) -> None:
        """Make it count: every byte on the disk, then the listing that says so."""
        with sigterm_deferred():
            fault_point(QrunPoint(f"{self.step}-written"))
            hashes = hash_files(self.folder, durable=True)
            document = {"step": self.step, "kept_at": now(), "files": hashes, "details": details}
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
        """Give a run's, and remove those of what it asked before."""
        home = folder / HOME / computation
        for other in (folder / HOME).glob("*"):
            if other != home:
                shutil.rmtree(other, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        return cls(home)

    @classmethod
    def from_environ(cls) -> Self | None:
        """Find them in a child of the stage."""
        home = os.environ.get(ENV_CHECKPOINTS)
        return cls(Path(home)) if home else None

    def begin(self, step: TrainingStep) -> CheckpointDraft:
        """Clear the place for what a step makes."""
        draft = CheckpointDraft(step, self.home / step, self._listing(step))
        draft.listing.unlink(missing_ok=True)
        shutil.rmtree(draft.folder, ignore_errors=True)
        draft.folder.mkdir()
        return draft

    def find(self, step: TrainingStep) -> Checkpoint | None:
        """Give what an earlier attempt left, if every byte of it is still what was written."""
        listing = read_json_object(self._listing(step))
        if listing is None:
            return None
        files = listing.get("files")
        fault = first_fault(self.home / step, files if isinstance(files, dict) else {})
        details = listing.get("details")
        if fault or not isinstance(details, dict):
            sys.stderr.write(
                f"warning: the checkpoint of the {step} cannot be used: {fault or 'its listing is damaged'}. "
                "The step is done again.\n"
            )
            return None
        return Checkpoint(self.home / step, details, str(listing.get("kept_at")))

    def _listing(self, step: TrainingStep) -> Path:
        return self.home / f"{step}.json"


def clear(folder: Path) -> None:
    """Remove a run's checkpoints: what they were for is done."""
    shutil.rmtree(folder / HOME, ignore_errors=True)


def hash_files(folder: Path, *, durable: bool = False) -> dict[str, str]:
    """Give the sha256 of every file below a folder, by its path inside."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): _sha256(path, durable=durable) for path in files}
    if durable:
        for inside in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            sync_folder(inside)
    return hashes


def first_fault(folder: Path, hashes: Mapping[str, object]) -> str | None:
    """Say which file is not what was written, or None."""
    if not hashes:
        return "its listing names no files"
    for name, digest in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if _sha256(path) != digest:
            return f"{path} is not what was written (its sha256 differs)"
    return None


@contextlib.contextmanager
def sigterm_deferred() -> Iterator[None]:
    """Let SIGTERM wait until a write is done."""
    waiting: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if waiting:
            os.kill(os.getpid(), signal.SIGTERM)


def _sha256(path: Path, *, durable: bool = False) -> str:
    with path.open("rb") as stream:
        if durable:
            os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()


MADE_WITH: Final = ("git_commit", "image", "python", "packages")
"""What RUN_METADATA.json says of the code."""
CHANGED: Final = "-dirty"


def computation(config_hash: str, seed: int, metadata: Mapping[str, object]) -> str:
    """Name a computation by all that its answer follows from; the data is in the configuration's hash."""
    document = {
        "config_hash": config_hash,
        "seed": seed,
        "machine": platform.machine(),
        **{key: metadata.get(key) for key in MADE_WITH},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def code_is_known(metadata: Mapping[str, object]) -> bool:
    """Say whether the commit tells what ran; uncommitted changes have no name."""
    return not str(metadata.get("git_commit")).endswith(CHANGED)
