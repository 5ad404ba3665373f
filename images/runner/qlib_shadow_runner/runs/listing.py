"""All run folders on a volume; anything else that lies there is ignored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    ARTIFACTS,
    LOCAL_NAMESPACE,
    METADATA_FILE,
    RESULTS,
    USER_ERRORS,
    Reason,
    Stage,
)
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.contract.stages import leaving, recorded_stages
from qlib_shadow_runner.errors import EXIT_CODES, StageError
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.lease import HOLDER, seconds_without_holder
from qlib_shadow_runner.runs.values import moment, number
from qlib_shadow_runner.storage.files import read_json_object, read_json_object_of_others
from qlib_shadow_runner.storage.volume import Volume
from qlib_shadow_runner.texts import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS_FAILED: Final = "failed"
STATUS_INTERRUPTED: Final = "interrupted"
STATUS_DOWNLOADED: Final = "downloaded"
"""The status of a finished run that was only asked for its dataset."""
STATUS_NOT_GOLDEN: Final = "not-golden"
"""The status of a complete run for which a check of the golden run failed."""
ENDED: Final = frozenset(
    {"complete", STATUS_FAILED, STATUS_INTERRUPTED, STATUS_DOWNLOADED, STATUS_NOT_GOLDEN}
)
"""A run with another status may still be in progress."""
FINAL_REASONS: Final = frozenset(reason for reason, code in EXIT_CODES.items() if code in USER_ERRORS)
"""Reasons after which a run is not tried again."""
GRACE: Final = timedelta(days=7)
"""How long a run may be continued by another attempt."""
BETWEEN_STAGES: Final = 60.0
"""Seconds within which the next stage of a run on this machine begins."""
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListedRun:
    """One run folder and what its metadata says."""

    folder: Path
    metadata: Mapping[str, object]

    @classmethod
    def at(cls, folder: Path) -> ListedRun | None:
        """Return the run in a folder; None where no run has made the folder under this name."""
        if folder.is_symlink() or run_id_fault(folder.name) is not None:
            return None
        metadata = read_json_object_of_others(folder / METADATA_FILE)
        if metadata is None or metadata.get("run_id") != folder.name:
            return None
        return cls(folder, metadata)

    @property
    def run_id(self) -> str:
        """Return the id, which is the folder's name."""
        return self.folder.name

    @property
    def status(self) -> str:
        """Return the status as the run wrote it, corrected where its process was killed or a check failed."""
        written = str(self.metadata.get("status"))
        if written == "complete" and golden_passed(self.folder) is False:
            return STATUS_NOT_GOLDEN
        return STATUS_INTERRUPTED if written not in ENDED and self._is_abandoned else written

    @property
    def _is_abandoned(self) -> bool:
        """Return whether a stage was killed, or a run of this machine between stages: it waits for no pod."""
        unheld_for = seconds_without_holder(self.folder)
        if unheld_for is None:
            return False
        stages = self.metadata.get("stages")
        records = list(stages.values()) if isinstance(stages, dict) else []
        if any(isinstance(record, dict) and record and "finished_at_utc" not in record for record in records):
            return True
        return self.metadata.get("namespace") == LOCAL_NAMESPACE and unheld_for > BETWEEN_STAGES

    @property
    def ended(self) -> bool:
        """Return whether no attempt is in progress."""
        return self.status in ENDED

    def is_needed(self, now: datetime) -> bool:
        """Return whether an attempt is in progress or may follow, as after an eviction or a failure."""
        return not self.ended or (self._may_continue and now - self._last_seen < GRACE)

    @property
    def _may_continue(self) -> bool:
        if self.status == STATUS_FAILED:
            return self.metadata.get("reason") not in FINAL_REASONS
        return self.status == STATUS_INTERRUPTED

    @property
    def _last_seen(self) -> datetime:
        """Return when the last attempt ended, or was last seen alive."""
        written = self._moment("finished_at_utc")
        if written != LONG_AGO:
            return written
        try:
            return datetime.fromtimestamp((self.folder / HOLDER).stat().st_mtime, UTC)
        except OSError:
            return LONG_AGO

    @property
    def started(self) -> datetime:
        """Return when the run started; long ago where that cannot be read."""
        return self._moment("started_at_utc")

    def _moment(self, name: str) -> datetime:
        found = moment(str(self.metadata.get(name)))
        return LONG_AGO if found is None else found.replace(tzinfo=UTC)

    @property
    def size(self) -> int:
        """Return the size of its files in bytes."""
        return folder_size(self.folder)

    def metric(self, name: str) -> float | None:
        """Return one metric of the run, if it has one."""
        metrics = self.left("metrics")
        return number(metrics.get(name)) if isinstance(metrics, dict) else None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the run's stages, in order."""
        return recorded_stages(self.metadata)

    def left(self, key: str) -> object:
        """Return what the run's stages left under a key of their results, or None."""
        stage = leaving(key, self.stages)
        return self.result(stage).get(key) if stage else None

    def result(self, stage: Stage) -> Mapping[str, object]:
        """Return the result of a stage, empty where there is none."""
        return read_json_object_of_others(RunFolder(self.folder).result_path(stage)) or {}


def golden_path(folder: Path) -> Path:
    """Return where the result of a run's last golden run lies, if `qlib-shadow run` made one."""
    return folder / RESULTS / "golden.json"


def golden_passed(folder: Path) -> bool | None:
    """Return whether the last golden run passed, or None where there was none."""
    found = (read_json_object_of_others(golden_path(folder)) or {}).get("passed")
    return found if isinstance(found, bool) else None


def existing_volume(data: Path) -> Volume:
    """Return the volume in a data folder, which must exist."""
    if not data.is_dir():
        raise StageError(
            Reason.INVALID_SPEC,
            f"{data} is not a folder; name the data folder with --data or QLIB_SHADOW_DATA",
        )
    return Volume(data.absolute())


def artifacts_root(volume: Volume) -> Path:
    """Return the folder of all run folders."""
    return volume.mount / ARTIFACTS


def all_runs(volume: Volume) -> list[ListedRun]:
    """Return the runs, newest first."""
    root = artifacts_root(volume)
    folders = sorted(root.iterdir()) if root.is_dir() else []
    found = [run for folder in folders if (run := ListedRun.at(folder)) is not None]
    return sorted(found, key=lambda run: (run.started, run.run_id), reverse=True)


def find_run(data: Path, name: str) -> ListedRun:
    """Return the one run that a name means: its folder, its id, or the beginning of its id."""
    if "/" in name or name in {".", ".."}:
        return _run_in(Path(name))
    runs = all_runs(existing_volume(data))
    meant = [run for run in runs if run.run_id == name] or [
        run for run in runs if run.run_id.startswith(name)
    ]
    if not meant:
        close = nearest(name, [run.run_id for run in runs])
        hint = f'did you mean "{close}"?' if close else "see: qlib-shadow runs"
        raise StageError(Reason.INVALID_SPEC, f'there is no run "{name}" in {data}; {hint}')
    if len(meant) > 1:
        ids = ", ".join(run.run_id for run in meant)
        raise StageError(Reason.INVALID_SPEC, f'"{name}" is the beginning of {len(meant)} runs: {ids}')
    return meant[0]


def _run_in(folder: Path) -> ListedRun:
    metadata = read_json_object(folder / METADATA_FILE)
    if metadata is None:
        raise StageError(Reason.INVALID_SPEC, f"{folder} is not a run folder: it holds no {METADATA_FILE}")
    return ListedRun(folder.absolute(), metadata)


def folder_size(folder: Path) -> int:
    """Return the size in bytes of all files below a folder, of links themselves and not of their targets."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent, name)).st_size
            except OSError:  # a run is writing here, or this user may not read it
                continue
    return total
