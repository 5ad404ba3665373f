"""All run folders on a volume; anything else that lies there is ignored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    ARTIFACTS,
    LOCAL_NAMESPACE,
    METADATA_FILE,
    METRICS_FILE,
    RESULTS,
    USER_ERRORS,
    Reason,
    Stage,
)
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.contract.stages import COMPLETE, leaving, recorded_stages
from qlib_shadow_runner.errors import EXIT_CODES, StageError
from qlib_shadow_runner.runs.lease import HOLDER, seconds_without_holder
from qlib_shadow_runner.runs.values import moment, number
from qlib_shadow_runner.storage.files import read_json_object_of_others, read_required_object
from qlib_shadow_runner.storage.untrusted import is_folder, names_in, read_object, why_unreadable
from qlib_shadow_runner.storage.volume import Volume
from qlib_shadow_runner.texts import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATUS_FAILED: Final = "failed"
STATUS_INTERRUPTED: Final = "interrupted"
STATUS_DOWNLOADED: Final = "downloaded"
"""The status of a finished run that was only asked for its dataset."""
GOLDEN_FILE: Final = f"{RESULTS}/golden.json"
STATUS_NOT_GOLDEN: Final = "not-golden"
"""The status of a complete run for which a check of the golden run failed."""
STATUS_DAMAGED: Final = "damaged"
"""The status of a run with a document that cannot be read."""
ENDED: Final = frozenset(
    {
        COMPLETE,
        STATUS_FAILED,
        STATUS_INTERRUPTED,
        STATUS_DOWNLOADED,
        STATUS_NOT_GOLDEN,
        STATUS_DAMAGED,
    }
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
    """One run folder and what its metadata says; any program may have written what is in it."""

    folder: Path
    metadata: Mapping[str, object]
    fault: str | None = None
    """Why the metadata cannot be read, if it cannot."""

    @classmethod
    def at(cls, folder: Path) -> ListedRun | None:
        """Return the run in a folder; None where there is none of this name, and for a link."""
        if run_id_fault(folder.name) is not None or not is_folder(folder.parent, folder.name):
            return None
        try:
            metadata = read_object(folder.parent, f"{folder.name}/{METADATA_FILE}")
        except FileNotFoundError:
            return None
        except OSError as error:
            return cls(folder, {}, why_unreadable(error, folder))
        return cls(folder, metadata) if metadata.get("run_id") == folder.name else None

    @property
    def run_id(self) -> str:
        """Return the id, which is the folder's name."""
        return self.folder.name

    @property
    def status(self) -> str:
        """Return the status as the run wrote it; damaged where one of its documents cannot be read."""
        return STATUS_DAMAGED if self.damage else self._status

    @property
    def _status(self) -> str:
        """Return the status as the run wrote it, corrected where its process was killed or a check failed."""
        if self.fault:
            return STATUS_DAMAGED
        written = str(self.metadata.get("status"))
        if written == COMPLETE and self._documents[0].get(GOLDEN_FILE, {}).get("passed") is False:
            return STATUS_NOT_GOLDEN
        return STATUS_INTERRUPTED if written not in ENDED and self._is_abandoned else written

    @property
    def _is_abandoned(self) -> bool:
        """Return whether a stage was killed, or no next one has begun.

        A run of this machine waits for no pod, and one of a cluster for no longer than any that may continue:
        its resource may be deleted, which its folder does not show.
        """
        unheld_for = seconds_without_holder(self.folder)
        if unheld_for is None:
            return False
        stages = self.metadata.get("stages")
        records = list(stages.values()) if isinstance(stages, dict) else []
        if any(isinstance(record, dict) and record and "finished_at_utc" not in record for record in records):
            return True
        is_local = self.metadata.get("namespace") == LOCAL_NAMESPACE
        return unheld_for > (BETWEEN_STAGES if is_local else GRACE.total_seconds())

    @property
    def ended(self) -> bool:
        """Return whether no attempt is in progress."""
        return self._status in ENDED

    def is_needed(self, now: datetime) -> bool:
        """Return whether an attempt is in progress or may follow, as after an eviction or a failure."""
        return not self.ended or (self._may_continue and now - self._last_seen < GRACE)

    @property
    def _may_continue(self) -> bool:
        if self._status == STATUS_FAILED:
            return self.metadata.get("reason") not in FINAL_REASONS
        return self._status == STATUS_INTERRUPTED

    @property
    def _last_seen(self) -> datetime:
        """Return when the last attempt ended, or was last seen alive."""
        written = self._moment("finished_at_utc")
        if written != LONG_AGO:
            return written
        try:
            return datetime.fromtimestamp((self.folder / HOLDER).lstat().st_mtime, UTC)
        except (OSError, ValueError, OverflowError):  # a time beyond the year 9999
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
        return self._documents[0].get(f"{RESULTS}/{stage}.json", {})

    @property
    def figures(self) -> Mapping[str, object]:
        """Return the content of metrics.json, empty where there is none."""
        return self._documents[0].get(METRICS_FILE, {})

    @property
    def damage(self) -> str | None:
        """Return which of the run's documents cannot be read, and why; None where all can."""
        return self.fault or next(iter(self._documents[1]), None)

    @cached_property
    def _documents(self) -> tuple[Mapping[str, Mapping[str, object]], Sequence[str]]:
        """Return the documents beside the metadata by name, and why others cannot be read."""
        found, faults = {}, []
        for name in (*(f"{RESULTS}/{stage}.json" for stage in self.stages), METRICS_FILE, GOLDEN_FILE):
            try:
                found[name] = read_object(self.folder, name)
            except FileNotFoundError:
                continue
            except OSError as error:
                faults.append(why_unreadable(error, self.folder))
        return found, faults


def golden_path(folder: Path) -> Path:
    """Return where the result of a run's last golden run lies, if `qlib-shadow run` made one."""
    return folder / GOLDEN_FILE


def golden_passed(folder: Path) -> bool | None:
    """Return whether the last golden run passed, or None where there was none."""
    found = (read_json_object_of_others(golden_path(folder), folder) or {}).get("passed")
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


def run_names(root: Path) -> list[str]:
    """Return the sorted names among the run folders that a run may have; those of links are included."""
    try:
        return [name for name in names_in(root) if run_id_fault(name) is None]
    except (FileNotFoundError, NotADirectoryError):
        return []


def all_runs(volume: Volume) -> list[ListedRun]:
    """Return the runs, newest first."""
    root = artifacts_root(volume)
    found = [run for name in run_names(root) if (run := ListedRun.at(root / name)) is not None]
    return sorted(found, key=lambda run: (run.started, run.run_id), reverse=True)


def find_run(data: Path, name: str) -> ListedRun:
    """Return the one run that a name means: its folder, its id, or the beginning of its id.

    A folder that the user names may be a link; among the runs of a volume, links are no runs.
    """
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
    return ListedRun(folder.absolute(), read_required_object(folder, METADATA_FILE, "a run folder"))


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
