"""Publish a dataset: an immutable version named by its fingerprint, and a link that points at it.

    us_data_1d -> us_data_1d@3f9c0a1b2c3d        the canonical name, a relative symlink
    us_data_1d@3f9c0a1b2c3d/                     a version, never changed after its rename
    us_data_1d@3f9c0a1b2c3d.manifest.json        written before the version appears
    .us_data_1d.staging-…/                       used under the lock; removed after a crash

A crash leaves the old dataset or the new one, never a mixture; so do two processes that both hold the lock.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.dataset.fingerprint import SHORT, fingerprint, stamp
from qlib_shadow_runner.dataset.manifest import (
    SUFFIX,
    DatasetManifest,
    DatasetOrigin,
    describe,
    manifest_path,
)
from qlib_shadow_runner.dataset.qlib_layout import invalid
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.files import sync_folder
from qlib_shadow_runner.storage.lock import lock_lost
from qlib_shadow_runner.storage.removal import remove
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qlib_shadow_runner.dataset.sources import Source

LINKS: Final = ".{}.link-*"
DOWNLOADS: Final = ".{}.download-*"
LEFT_BY_A_CRASH: Final = (
    ".{}.staging-*",
    "..{}.staging-*.removed-*.tmp",
    LINKS,
    ".{}@*.tmp",
    "..{}.lease.*.tmp",
)


def build_and_publish(canonical: Path, source: Source, still_held: Callable[[], None]) -> Path:
    """Build, verify and publish a version and return its path; raise where the lock is lost meanwhile."""
    _sweep(canonical)
    build = secrets.token_hex(4)
    staging = canonical.with_name(f"{_staging(canonical)}{build}")

    def still_ours() -> None:
        still_held()
        if not staging.is_dir():
            raise lock_lost(canonical)

    staging.mkdir()
    fault_point("build-begun")
    try:
        source.build(staging)
        fault_point("build-done")
        still_ours()
        origin = DatasetOrigin(
            source.identity, source.synthetic, source.inputs, build, source.claims, source.feed
        )
        version = publish(canonical, staging, describe(staging, origin), still_ours)
        fault_point("publish-version")
        still_held()
        _sweep(canonical, DOWNLOADS)  # partial files of other sources
        point_to(canonical, version)
        return version
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish(
    canonical: Path, staging: Path, manifest: DatasetManifest, still_ours: Callable[[], None]
) -> Path:
    """Turn a verified staging folder into a version and return its path."""
    version = canonical.with_name(f"{canonical.name}@{manifest.fingerprint[:SHORT]}")
    if has_content(version):
        manifest = replace(manifest, stamp=_stamp_of_the_same(version))
    else:
        sync_tree(staging)
    fault_point("publish-verified")
    still_ours()
    manifest.write(manifest_path(version))
    fault_point("publish-manifest")
    try:
        still_ours()
        if not has_content(version):
            staging.rename(version)
    except (FileNotFoundError, StageError) as error:
        _unpublish(manifest, version)
        raise lock_lost(canonical) from error
    return version


def _unpublish(manifest: DatasetManifest, version: Path) -> None:
    """Remove this build's manifest where its version is missing; another build's manifest stays."""
    path = manifest_path(version)
    written = DatasetManifest.read(path)
    if written is not None and written.build == manifest.build and not has_content(version):
        path.unlink(missing_ok=True)


def _stamp_of_the_same(version: Path) -> str:
    """Return the stamp of the existing version; refuse it where its content has changed."""
    before, known = stamp(version), DatasetManifest.read(manifest_path(version))
    if known is None or known.stamp != before:
        refuse_changed(version, fingerprint(version))
    return before


def refuse_changed(version: Path, found: str) -> None:
    """Refuse a version whose fingerprint differs from the one in its name."""
    _, at, short = version.name.partition("@")
    if at and not found.startswith(short):
        raise invalid(
            version,
            f"was changed after it was published: its fingerprint is now {found[: len(short)]}. "
            "Remove this version, so that it is built again.",
        )


def has_content(version: Path) -> bool:
    """Return whether a version has files; the kubelet makes an empty folder for a missing one."""
    return version.is_dir() and any(version.iterdir())


def named_version(canonical: Path) -> Path | None:
    """Return the version that our own link names; None where there is no such link."""
    target = os.readlink(canonical) if canonical.is_symlink() else ""  # noqa: PTH115 - the name as it is stored
    ours = re.fullmatch(rf"{re.escape(canonical.name)}@[0-9a-f]{{{SHORT}}}", target, re.ASCII)
    return canonical.with_name(target) if ours else None


def folder_of(canonical: Path) -> Path:
    """Return the folder that the name means now, without resolving links in its parent folders."""
    if not canonical.is_symlink():
        return canonical
    return named_version(canonical) or real_path(canonical)


def refuse_foreign(canonical: Path) -> None:
    """Refuse to build where there is something that qlib-shadow did not make."""
    if not os.path.lexists(canonical) or named_version(canonical):
        return
    kind = "link" if canonical.is_symlink() else "folder" if canonical.is_dir() else "file"
    ways = "To build a dataset, set spec.dataset.path to another name."
    if canonical.is_dir():
        ways = (
            "To use it, write source: {existing: {}}; to build one beside it, set spec.dataset.path to "
            "another name."
        )
    raise invalid(canonical, f"is a {kind} that qlib-shadow did not make, and it is never replaced. {ways}")


def point_to(canonical: Path, version: Path) -> None:
    """Point the canonical name at this version by one atomic rename."""
    if named_version(canonical) == version:
        return
    _sweep(canonical, LINKS)
    temporary = canonical.with_name(f".{canonical.name}.link-{secrets.token_hex(4)}")
    temporary.symlink_to(version.name)
    fault_point("publish-link")
    try:
        refuse_foreign(canonical)  # again: a user may have put something there during the build
        temporary.replace(canonical)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(canonical.parent)


def builds_under_way(canonical: Path) -> frozenset[str]:
    """Return the builds that have begun and not ended; crashed builds are included, which is harmless."""
    begun = canonical.parent.glob(f"{_staging(canonical)}*")
    return frozenset(path.name.removeprefix(_staging(canonical)) for path in begun)


def versions(canonical: Path) -> Iterator[tuple[Path, DatasetManifest]]:
    """Return the published versions that have a manifest, newest first."""
    found = []
    for path in canonical.parent.glob(f"{canonical.name}@*{SUFFIX}"):
        folder = path.with_name(path.name.removesuffix(SUFFIX))
        manifest = DatasetManifest.read(path)
        if manifest is not None and has_content(folder):
            found.append((folder, manifest))
    return iter(sorted(found, key=lambda pair: pair[1].created_utc, reverse=True))


def _staging(canonical: Path) -> str:
    return f".{canonical.name}.staging-"


def _sweep(canonical: Path, *patterns: str) -> None:
    """Remove what an interrupted builder left, or one that has lost the lock and is about to rename it."""
    for pattern in patterns or LEFT_BY_A_CRASH:
        for path in canonical.parent.glob(pattern.format(canonical.name)):
            if path.is_dir() and not path.is_symlink():
                remove(path)
            else:
                path.unlink(missing_ok=True)
