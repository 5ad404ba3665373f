"""`qlib-shadow prune`: remove run folders by age, number or size, and unused dataset versions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli import amounts
from qlib_shadow_runner.cli.leftovers import left_in_run_folders
from qlib_shadow_runner.cli.versions import canonical_of, find_datasets, find_users, why_kept
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.dataset.manifest import manifest_path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_json, print_line, print_lines
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
    from datetime import timedelta
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

LOCK_TIMEOUT: Final = 60.0
"""Seconds that a removal waits for another process that builds the dataset."""


@dataclass(frozen=True)
class Criteria:
    """Which run folders to remove; `keep` protects the newest, and alone it selects all others."""

    keep: int | None = None
    older_than: timedelta | None = None
    max_size: int | None = None

    @property
    def given(self) -> bool:
        """Return whether any criterion is given."""
        return (self.keep, self.older_than, self.max_size) != (None, None, None)


@dataclass(frozen=True)
class PruneItem:
    """Something on the volume that is removed or kept."""

    kind: str
    """run, dataset, or leftover (of a killed process)."""
    path: str
    size: int
    why: str = ""

    def __str__(self) -> str:
        """Return the line that is printed."""
        return f"{self.kind:<8}  {format_size(self.size):>10}  {self.path}" + (
            f"  ({self.why})" if self.why else ""
        )


@dataclass
class PruneSummary:
    """What was removed, or in a dry run would be, and which dataset versions are kept."""

    dry_run: bool
    as_json: bool
    removed: list[PruneItem] = field(default_factory=list)
    kept: list[PruneItem] = field(default_factory=list)

    def add(self, item: PruneItem) -> None:
        """Record and print one removal."""
        self.removed.append(item)
        if not self.as_json:
            print_line(str(item))

    def close(self, failure: StageError | None = None) -> None:
        """Print the total, also after a failure."""
        total = sum(item.size for item in self.removed)
        if self.as_json:
            removed, kept = ([asdict(item) for item in items] for items in (self.removed, self.kept))
            document = {"dryRun": self.dry_run, "size": total, "removed": removed, "kept": kept}
            print_json({**document, **(_failure_document(failure) if failure else {})})
            return
        print_lines(f"kept: {item}" for item in self.kept)
        done = "would be removed" if self.dry_run else "removed"
        print_line(f"{len(self.removed)} {done}, {format_size(total)}")


def _failure_document(failure: StageError) -> dict[str, object]:
    return {"reason": failure.reason, "message": failure.message, "exitCode": failure.exit_code}


def prune_command(
    data: Path,
    keep: str | None,
    older_than: str | None,
    max_size: str | None,
    *,
    datasets: bool,
    run_folders: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Parse the amounts, then prune."""
    criteria = Criteria(
        amounts.count(keep, "--keep"),
        amounts.days(older_than, "--older-than"),
        amounts.size(max_size, "--max-size"),
    )
    return prune(
        data,
        criteria,
        datetime.now(UTC),
        datasets=not run_folders,
        run_folders=not datasets,
        dry_run=dry_run,
        as_json=as_json,
    )


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
    """Remove what the criteria select; a dry run only prints it."""
    _refuse_contradictions(criteria, run_folders=run_folders)
    volume = existing_volume(data)
    summary = PruneSummary(dry_run, as_json)
    try:
        if run_folders:
            _prune_runs(volume, criteria, now, summary)
        if datasets:
            _prune_datasets(volume, now, summary)
    except StageError as failure:
        summary.close(failure)
        if as_json:
            return failure.exit_code
        raise
    summary.close()
    return ExitCode.DONE


def choose(
    runs: Sequence[tuple[ListedRun, int]], criteria: Criteria, now: datetime
) -> list[tuple[ListedRun, int]]:
    """Return the runs to remove out of all runs and their sizes, which come newest first."""
    chosen = []
    only_keep = criteria.older_than is None and criteria.max_size is None
    excess = 0 if criteria.max_size is None else sum(size for _, size in runs) - criteria.max_size
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


def _prune_runs(volume: Volume, criteria: Criteria, now: datetime, summary: PruneSummary) -> None:
    root = artifacts_root(volume)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        name = name_before_removal(path)
        if name is not None and run_id_fault(name) is None:
            _remove_leftover(path, summary)
    for path in left_in_run_folders(volume):
        _remove_leftover(path, summary)
    runs = [(run, run.size) for run in all_runs(volume)]
    for run, size in choose(runs, criteria, now):
        if not summary.dry_run:
            current = ListedRun.at(run.folder)
            if current is None or current.is_needed(now):  # started again in the meantime
                continue
            delete(move_aside(run.folder))
        summary.add(PruneItem("run", str(run.folder), size))


def _prune_datasets(volume: Volume, now: datetime, summary: PruneSummary) -> None:
    datasets, users = find_datasets(volume), find_users(volume, now)
    for path in datasets.drafts:
        _remove_leftover(path, summary)
    for path in datasets.leftovers:
        if summary.dry_run:
            _remove_leftover(path, summary)
            continue
        with locked(canonical_of(path), _lock_options()):
            if path in find_datasets(volume).leftovers:
                _remove_leftover(path, summary)
    for version in datasets.versions:
        reason = why_kept(version, datasets, users)
        if reason is None and not summary.dry_run:
            reason = _remove_version(volume, version, now, summary)
        elif reason is None:
            summary.add(PruneItem("dataset", str(version), folder_size(version)))
        if reason is not None:
            summary.kept.append(PruneItem("dataset", str(version), folder_size(version), reason))


def _remove_version(volume: Volume, version: Path, now: datetime, summary: PruneSummary) -> str | None:
    """Check again under the lock, then remove; return the reason if the version must be kept."""
    with locked(canonical_of(version), _lock_options()):
        datasets = find_datasets(volume)
        reason = why_kept(version, datasets, find_users(volume, now))
        if reason is None and version in datasets.versions:
            size = folder_size(version)
            removed = move_aside(version)
            manifest_path(version).unlink(missing_ok=True)
            delete(removed)
            summary.add(PruneItem("dataset", str(version), size))
        return reason


def _remove_leftover(path: Path, summary: PruneSummary) -> None:
    is_folder = path.is_dir() and not path.is_symlink()
    size = folder_size(path) if is_folder else path.lstat().st_size
    if not summary.dry_run:
        if is_folder:
            delete(path)
        else:
            path.unlink(missing_ok=True)
    summary.add(PruneItem("leftover", str(path), size))


def _lock_options() -> WaitOptions:
    """Return how long to wait for a builder; messages go to stderr, apart from the summary."""
    return WaitOptions(limit=LOCK_TIMEOUT, log=print_error)
