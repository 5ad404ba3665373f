"""The dataset versions on a volume, and why each of them is kept.

A version is a folder that `publish` made: its name ends in its fingerprint, and the manifest beside it has
the same fingerprint and names a source. A folder that a user put there is never a version.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.fingerprint import SHORT
from qlib_shadow_runner.dataset.manifest import SUFFIX, DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.publish import has_content
from qlib_shadow_runner.dataset.qlib_layout import looks_like_dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.listing import ListedRun, all_runs, artifacts_root
from qlib_shadow_runner.storage.removal import name_before_removal
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_runner.storage.volume import Volume

VERSION: Final = re.compile(rf"(.+)@([0-9a-f]{{{SHORT}}})", re.ASCII)
ADOPTED: Final = "existing"


@dataclass
class Datasets:
    """What is on the volume."""

    versions: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    """What an interrupted removal left, renamed folders and manifests without their version; and the empty
    folders that the kubelet makes where a pod mounts a version that is not there."""


@dataclass(frozen=True)
class VersionUsers:
    """Which versions are used by runs that work, or may continue."""

    run_of: dict[Path, str]
    """The run that uses a version."""
    undecided_run: str | None
    """A run that has not recorded yet which version it uses."""


def canonical_of(path: Path) -> Path:
    """Return the path of the dataset that a version belongs to; the lock of that path guards the version."""
    name = name_before_removal(path) or path.name.removesuffix(SUFFIX)
    found = VERSION.fullmatch(name)
    assert found is not None, "the path is that of a version"
    return path.with_name(found[1])


def find_datasets(volume: Volume) -> Datasets:
    """Return what is on the volume; datasets, run folders and hidden folders are not searched."""
    found = Datasets()
    runs = artifacts_root(volume)
    for parent, folders, files in os.walk(volume.mount):
        here = Path(parent)
        paths = [here / name for name in folders]
        found.links += [path for path in (*paths, *(here / name for name in files)) if path.is_symlink()]
        found.versions += [path for path in paths if _is_version(path)]
        found.leftovers += [path for path in paths if VERSION.fullmatch(name_before_removal(path) or "")]
        found.leftovers += [path for path in paths if _is_empty_version(path)]
        found.leftovers += [here / name for name in files if _lost_its_version(here / name)]
        folders[:] = sorted(path.name for path in paths if path != runs and _is_open(path))
    found.versions.sort()
    return found


def find_users(volume: Volume, now: datetime) -> VersionUsers:
    """Return the versions that the runs which are still needed use."""
    used: dict[Path, str] = {}
    undecided_run: str | None = None
    for run in all_runs(volume):
        if not run.is_needed(now):
            continue
        folders = _used_by(run, volume)
        used |= dict.fromkeys(folders, run.run_id)
        if not folders and not run.ended:  # a run that continues selects again
            undecided_run = run.run_id
    return VersionUsers(used, undecided_run)


def why_kept(version: Path, datasets: Datasets, users: VersionUsers) -> str | None:
    """Return why a version must be kept; None where nothing needs it."""
    real = real_path(version)
    for link in datasets.links:
        target = real_path(link)
        if target == real or real in target.parents:
            return f"{link.name} points at it"
    if real in users.run_of:
        return f"run {users.run_of[real]} uses it"
    if users.undecided_run:
        return f"run {users.undecided_run} has not recorded yet which version it uses"
    return None


def _used_by(run: ListedRun, volume: Volume) -> set[Path]:
    found = run.left("dataset")
    named = [found.get("resolvedPath") if isinstance(found, dict) else None]
    folders = set()
    for path in [*named, run.metadata.get("dataset_resolved_path")]:
        try:
            folders |= {real_path(volume.locate(path))} if isinstance(path, str) else set()
        except StageError:  # not a path on this volume
            continue
    return folders


def _is_version(path: Path) -> bool:
    found = VERSION.fullmatch(path.name)
    if found is None or path.name.startswith(".") or path.is_symlink():
        return False
    manifest = DatasetManifest.read(manifest_path(path))
    return (
        manifest is not None
        and manifest.fingerprint.startswith(found[2])
        and manifest.source.partition(" ")[0] != ADOPTED
    )


def _is_empty_version(path: Path) -> bool:
    named = VERSION.fullmatch(path.name) and not path.name.startswith(".")
    return bool(named) and not path.is_symlink() and not has_content(path)


def _lost_its_version(path: Path) -> bool:
    name = path.name.removesuffix(SUFFIX)
    if name == path.name or path.name.startswith(".") or not VERSION.fullmatch(name):
        return False
    manifest = DatasetManifest.read(path)
    published = manifest is not None and manifest.source.partition(" ")[0] != ADOPTED
    return published and not os.path.lexists(path.with_name(name))


def _is_open(path: Path) -> bool:
    if path.name.startswith(".") or path.is_symlink() or VERSION.fullmatch(path.name):
        return False
    try:
        return not looks_like_dataset(path)
    except PermissionError:  # such as lost+found
        return False
