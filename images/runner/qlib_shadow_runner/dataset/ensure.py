"""Find or build the dataset version that a run uses.

Where the version exists this needs no numpy, no hashing and no lock; only a build or a changed folder does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.dataset import Refresh
from qlib_shadow_runner.dataset.manifest import (
    DatasetManifest,
    DatasetOrigin,
    describe,
    is_current,
    manifest_path,
)
from qlib_shadow_runner.dataset.publish import (
    build_and_publish,
    builds_under_way,
    folder_of,
    point_to,
    refuse_changed,
    refuse_foreign,
    versions,
)
from qlib_shadow_runner.dataset.qlib_layout import Dataset, looks_like_dataset
from qlib_shadow_runner.dataset.quality.assess import reassess
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.storage.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.dataset.asked import DatasetSpec
    from qlib_shadow_runner.dataset.quality.assess import Quality
    from qlib_shadow_runner.dataset.quality.policy import Policy
    from qlib_shadow_runner.dataset.sources import Source


@dataclass(frozen=True)
class ResolvedDataset:
    """One immutable folder of data with its manifest."""

    folder: Path
    manifest: DatasetManifest

    @property
    def dataset(self) -> Dataset:
        """Return a reader of the data."""
        return Dataset(self.folder)


def find_fresh(canonical: Path, spec: DatasetSpec) -> ResolvedDataset | None:
    """Return the current version where it can be used without a build or a verification, or None."""
    if spec.refresh is Refresh.ALWAYS or not canonical.exists():
        return None
    folder = folder_of(canonical)
    manifest = DatasetManifest.read(manifest_path(folder))
    if manifest is None or not _satisfies_without_build(manifest, spec) or not is_current(manifest, folder):
        return None
    return ResolvedDataset(folder, manifest)


def ensure(canonical: Path, spec: DatasetSpec) -> ResolvedDataset:
    """Return the version for this spec; verify or build it under the lock where that is necessary."""
    _refuse_early(canonical, spec)
    known = _builds_that_began(canonical, spec)
    with locked(canonical) as still_held:
        found = find_fresh(canonical, spec) or _built_meanwhile(canonical, spec, known)
        if found is not None:
            return found
        if not spec.source.builds:
            return _adopt(canonical)
        return _reuse(canonical, spec) or _build(canonical, spec, still_held)


def check_claims(manifest: DatasetManifest, spec: DatasetSpec) -> None:
    """Refuse a dataset that declares another region or interval than the spec."""
    asked = {"region": spec.region, "interval": spec.interval}
    for name, value in manifest.claims.items():
        if asked.get(name, value) != value:
            refuse(
                f"spec.dataset.{name} is {asked[name]}, but the dataset at {spec.path} is of the {name} "
                f"{value} ({manifest.source}). Set spec.dataset.{name} to {value}, or name another dataset."
            )


def check_age(manifest: DatasetManifest, max_age_days: int | None, today: date) -> str | None:
    """Refuse data that is too old; for synthetic data return a warning instead, or None."""
    age = manifest.age_days(today)
    if max_age_days is None or age <= max_age_days:
        return None
    sentence = f"the dataset ends on {manifest.calendar_end}, {age} days ago; maxAgeDays is {max_age_days}"
    if manifest.synthetic:
        return f"{sentence}, which does not apply to synthetic data"
    raise StageError(
        Reason.DATASET_STALE,
        f"{sentence}. Bring newer data, or raise spec.dataset.maxAgeDays or leave it out.",
    )


def check_quality(manifest: DatasetManifest, policy: Policy, today: date) -> Quality:
    """Return the quality of the data by this run's policy; refuse data that the policy blocks."""
    end = None if manifest.synthetic else date.fromisoformat(manifest.calendar_end)
    quality = reassess(manifest.quality, policy, end=end, today=today)
    if quality.refusal:
        raise StageError(Reason.DATASET_INVALID, quality.refusal)
    return quality


def _satisfies_without_build(manifest: DatasetManifest, spec: DatasetSpec) -> bool:
    """Return whether the source is unchanged since this version was built from it."""
    return not spec.source.builds or manifest.inputs == spec.source.inputs


def satisfies(manifest: DatasetManifest, spec: DatasetSpec) -> bool:
    """Return whether this version comes from the spec's source; every version fits `existing`."""
    return not spec.source.builds or manifest.source == spec.source.identity


def _builds_that_began(canonical: Path, spec: DatasetSpec) -> frozenset[str]:
    """Return the builds that are too old for `refresh: Always`, read before waiting for the lock.

    A build that is running may have read its source before this run started; where the source fixes its
    content, that makes no difference.
    """
    ended = frozenset(manifest.build for _, manifest in versions(canonical))
    return ended if spec.source.pinned else ended | builds_under_way(canonical)


def _built_meanwhile(canonical: Path, spec: DatasetSpec, known: frozenset[str]) -> ResolvedDataset | None:
    """Return the version that another run built during the wait, so that N runs with Always fetch once."""
    if spec.refresh is not Refresh.ALWAYS or not spec.source.builds:
        return None
    for folder, manifest in versions(canonical):
        if manifest.build not in known and satisfies(manifest, spec) and is_current(manifest, folder):
            print_line("another run built this dataset while this one waited; it is used")
            point_to(canonical, folder)
            return ResolvedDataset(folder, manifest)
    return None


def _refuse_early(canonical: Path, spec: DatasetSpec) -> None:
    """Refuse what can be refused before anything is created or locked."""
    if spec.source.builds:
        refuse_foreign(canonical)
        return
    if canonical.exists():
        return
    raise StageError(
        Reason.DATASET_MISSING,
        f"there is no dataset at {canonical}, and source: existing makes none. Put one there (calendars/, "
        "features/, instruments/), correct spec.dataset.path, or name another source, such as synthetic.",
    )


def _adopt(canonical: Path) -> ResolvedDataset:
    """Verify the folder that a user put there and return it unchanged."""
    folder = folder_of(canonical)
    if not looks_like_dataset(folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{canonical} holds no Qlib dataset of daily bars: calendars/day.txt, features/ and instruments/ "
            "are missing. Put them there, or correct spec.dataset.path.",
        )
    before = DatasetManifest.read(manifest_path(folder))
    manifest = describe(
        folder, DatasetOrigin("existing", feed="existing") if before is None else DatasetOrigin.of(before)
    )
    refuse_changed(folder, manifest.fingerprint)
    manifest.write(manifest_path(folder))
    return ResolvedDataset(folder, manifest)


def _reuse(canonical: Path, spec: DatasetSpec) -> ResolvedDataset | None:
    """Return an earlier version from the same source after pointing the name at it, or None."""
    if spec.refresh is Refresh.ALWAYS:
        return None
    for folder, manifest in versions(canonical):
        if satisfies(manifest, spec):
            resolved = ResolvedDataset(folder, manifest) if is_current(manifest, folder) else _adopt(folder)
            resolved = _with_inputs(resolved, spec.source)
            point_to(canonical, folder)
            return resolved
    return None


def _with_inputs(resolved: ResolvedDataset, source: Source) -> ResolvedDataset:
    """Return the version with the source's new stamp recorded, so that the files are not hashed again."""
    manifest = replace(resolved.manifest, inputs=source.inputs, feed=source.feed)
    if manifest == resolved.manifest:
        return resolved
    manifest.write(manifest_path(resolved.folder))
    return ResolvedDataset(resolved.folder, manifest)


def _build(canonical: Path, spec: DatasetSpec, still_held: Callable[[], None]) -> ResolvedDataset:
    if spec.refresh is Refresh.NEVER:
        raise StageError(
            Reason.DATASET_MISSING,
            f"there is no dataset at {canonical} from the source {spec.source.identity}, and refresh: Never "
            "forbids making one. Set spec.dataset.refresh to IfMissing.",
        )
    version = build_and_publish(canonical, spec.source, still_held)
    manifest = DatasetManifest.read(manifest_path(version))
    assert manifest is not None, "publish has just written it"
    return ResolvedDataset(version, manifest)
