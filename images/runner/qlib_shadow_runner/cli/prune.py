"""`qlib-shadow prune`: remove run folders by age, number or size, and dataset versions that nobody uses."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.cli.versions import canonical_of, find_datasets, find_users, why_kept
from qlib_shadow_runner.contract import ExitCode, Reason, run_id_fault
from qlib_shadow_runner.dataset.manifest import manifest_path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.listing import (
    LONG_AGO,
    ListedRun,
    all_runs,
    artifacts_root,
    existing_volume,
    folder_size,
)
from qlib_shadow_runner.storage.lock import WaitOptions, locked
from qlib_shadow_runner.storage.removal import delete, move_aside, name_before_removal
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

LOCK_TIMEOUT: Final = 60.0
"""Seconds that a removal waits for whoever builds this dataset."""


@dataclass(frozen=True)
class Criteria:
    """Which run folders may go: `keep` protects the newest, the others choose; alone, it chooses the rest."""

    keep: int | None = None
    older_than: timedelta | None = None
    max_size: int | None = None

    @property
    def given(self) -> bool:
        """Say whether anything was asked for."""
        return (self.keep, self.older_than, self.max_size) != (None, None, None)


@dataclass(frozen=True)
class PruneItem:
    """One thing on the volume."""

    kind: str
    """run, dataset, or leftover: what an interrupted removal left."""
    path: str
    size: int
    why: str = ""

    def __str__(self) -> str:
        """Show it as people read it."""
        return f"{self.kind:<8}  {format_size(self.size):>10}  {self.path}" + (
            f"  ({self.why})" if self.why else ""
        )


@dataclass
class PruneSummary:
    """What was removed, or would be, and which dataset versions stay."""

    dry_run: bool
    as_json: bool
    removed: list[PruneItem] = field(default_factory=list)
    kept: list[PruneItem] = field(default_factory=list)

    def add(self, item: PruneItem) -> None:
        """Tell of a removal."""
        self.removed.append(item)
        if not self.as_json:
            sys.stdout.write(f"{item}\n")

    def close(self, failure: StageError | None = None) -> None:
        """Sum up what was done, whether or not it was all."""
        total = sum(item.size for item in self.removed)
        if self.as_json:
            removed, kept = ([asdict(item) for item in items] for items in (self.removed, self.kept))
            document = {"dryRun": self.dry_run, "size": total, "removed": removed, "kept": kept}
            print_json({**document, **(_as_sentence(failure) if failure else {})})
            return
        sys.stdout.write("".join(f"kept: {item}\n" for item in self.kept))
        done = "would be removed" if self.dry_run else "removed"
        sys.stdout.write(f"{len(self.removed)} {done}, {format_size(total)}\n")


def _as_sentence(failure: StageError) -> dict[str, object]:
    return {"reason": failure.reason, "message": failure.message, "exitCode": failure.exit_code}


def prune(
    data: Path,
    criteria: Criteria,
    now: datetime,
    *,
    datasets: bool,
    run_folders: bool,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Remove what may go; a dry run only tells."""
    _refuse_contradictions(criteria, run_folders=run_folders)
    volume = existing_volume(data)
    report = PruneSummary(dry_run, as_json)
    try:
        if run_folders:
            _prune_runs(volume, criteria, now, report)
        if datasets:
            _prune_datasets(volume, now, report)
    except StageError as failure:
        report.close(failure)
        if as_json:
            return failure.exit_code
        raise
    report.close()
    return ExitCode.DONE


def choose(
    runs: Sequence[tuple[ListedRun, int]], criteria: Criteria, now: datetime
) -> list[tuple[ListedRun, int]]:
    """Choose among all the runs and their sizes, newest first, those that go."""
    chosen = []
    room = criteria.max_size
    only_keep = criteria.older_than is None and criteria.max_size is None
    excess = 0 if room is None else sum(size for _, size in runs) - room
    for place, (run, size) in reversed(list(enumerate(runs))):
        if run.is_needed(now) or run.started == LONG_AGO or place < (criteria.keep or 0):
            continue
        too_old = criteria.older_than is not None and now - run.started > criteria.older_than
        if only_keep or too_old or excess > 0:
            chosen.append((run, size))
            excess -= size
    return chosen


def _refuse_contradictions(criteria: Criteria, *, run_folders: bool) -> None:
    if run_folders and not criteria.given:
        raise StageError(
            Reason.INVALID_SPEC,
            "say which run folders may go, with --keep, --older-than or --max-size; "
            "or give --datasets to remove unused dataset versions only",
        )
    if criteria.given and not run_folders:
        raise StageError(
            Reason.INVALID_SPEC,
            "--keep, --older-than and --max-size choose run folders; leave them out, or leave out --datasets",
        )


def _prune_runs(volume: Volume, criteria: Criteria, now: datetime, report: PruneSummary) -> None:
    root = artifacts_root(volume)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        name = name_before_removal(path)
        if name is not None and run_id_fault(name) is None:
            _remove_leftover(path, report)
    runs = [(run, run.size) for run in all_runs(volume)]
    for run, size in choose(runs, criteria, now):
        if not report.dry_run:
            again = ListedRun.at(run.folder)
            if again is None or again.is_needed(now):  # it was started again in the meantime
                continue
            delete(move_aside(run.folder))
        report.add(PruneItem("run", str(run.folder), size))


def _prune_datasets(volume: Volume, now: datetime, report: PruneSummary) -> None:
    datasets, users = find_datasets(volume), find_users(volume, now)
    for path in datasets.leftovers:
        if report.dry_run:
            _remove_leftover(path, report)
            continue
        with locked(canonical_of(path), _lock_options()):
            if path in find_datasets(volume).leftovers:
                _remove_leftover(path, report)
    for version in datasets.versions:
        reason = why_kept(version, datasets, users)
        if reason is None and not report.dry_run:
            reason = _remove_version(volume, version, now, report)
        elif reason is None:
            report.add(PruneItem("dataset", str(version), folder_size(version)))
        if reason is not None:
            report.kept.append(PruneItem("dataset", str(version), folder_size(version), reason))


def _remove_version(volume: Volume, version: Path, now: datetime, report: PruneSummary) -> str | None:
    """Look again under the lock, then remove; give the reason where it has to stay after all."""
    with locked(canonical_of(version), _lock_options()):
        datasets = find_datasets(volume)
        reason = why_kept(version, datasets, find_users(volume, now))
        if reason is None and version in datasets.versions:
            size = folder_size(version)
            grave = move_aside(version)
            manifest_path(version).unlink(missing_ok=True)
            delete(grave)
            report.add(PruneItem("dataset", str(version), size))
        return reason


def _remove_leftover(path: Path, report: PruneSummary) -> None:
    size = folder_size(path) if path.is_dir() else path.stat().st_size
    if not report.dry_run:
        if path.is_dir():
            delete(path)
        else:
            path.unlink(missing_ok=True)
    report.add(PruneItem("leftover", str(path), size))


def _lock_options() -> WaitOptions:
    """Wait for a builder, and say so where it does not mix with the report."""
    return WaitOptions(limit=LOCK_TIMEOUT, log=_print_line)


def _print_line(line: str) -> None:
    sys.stderr.write(line + "\n")
