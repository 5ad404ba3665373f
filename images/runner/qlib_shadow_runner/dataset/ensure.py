"""The download stage's question, answered: which version of the dataset does this run use.

Cheap when the answer is yes: no numpy, no hashing, no lock. Only a build or a changed folder costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec import Refresh
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
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.storage.lock import locked
from qlib_shadow_runner.texts import print_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.dataset.asked import DatasetSpec
    from qlib_shadow_runner.dataset.quality.assess import Quality
    from qlib_shadow_runner.dataset.quality.policy import Policy


@dataclass(frozen=True)
class ResolvedDataset:
    """One immutable folder of data, and what is known of it."""

    folder: Path
    manifest: DatasetManifest

    @property
    def dataset(self) -> Dataset:
        """Give access to the data."""
        return Dataset(self.folder)


def find_fresh(canonical: Path, spec: DatasetSpec) -> ResolvedDataset | None:
    """Answer without work where nothing has to be built, verified or re-pointed."""
    if spec.refresh is Refresh.ALWAYS or not canonical.exists():
        return None
    folder = folder_of(canonical)
    manifest = DatasetManifest.read(manifest_path(folder))
    if manifest is None or not _satisfies_without_build(manifest, spec) or not is_current(manifest, folder):
        return None
    return ResolvedDataset(folder, manifest)


def ensure(canonical: Path, spec: DatasetSpec) -> ResolvedDataset:
    """Take the lock, look again, and do what is missing."""
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
    """Refuse data that is known to be of another region or interval than the run says."""
    asked = {"region": spec.region, "interval": spec.interval}
    for name, value in manifest.claims.items():
        if asked.get(name, value) != value:
            refuse(
                f"spec.dataset.{name} is {asked[name]}, but the dataset at {spec.path} is of the {name} "
                f"{value} ({manifest.source}). Set spec.dataset.{name} to {value}, or name another dataset."
            )


def check_age(manifest: DatasetManifest, max_age_days: int | None, today: date) -> str | None:
    """Refuse data that is too old; say so instead where the figures are made up and have no age."""
    age = manifest.age_days(today)
    if max_age_days is None or age <= max_age_days:
        return None
    sentence = f"the dataset ends on {manifest.calendar_end}, {age} days ago; maxAgeDays is {max_age_days}"
    if manifest.synthetic:
        return f"{sentence}, which synthetic data does not heed"
    raise StageError(
        Reason.DATASET_STALE,
        f"{sentence}. Bring newer data, or raise spec.dataset.maxAgeDays or leave it out.",
    )


def check_quality(manifest: DatasetManifest, policy: Policy, today: date) -> Quality:
    """Judge the data by this run's policy; refuse what it does not let pass."""
    end = None if manifest.synthetic else date.fromisoformat(manifest.calendar_end)
    quality = reassess(manifest.quality, policy, end=end, today=today)
    if quality.refusal:
        raise StageError(Reason.DATASET_INVALID, quality.refusal)
    return quality


def _satisfies_without_build(manifest: DatasetManifest, spec: DatasetSpec) -> bool:
    """Say whether nothing changed since this version was built for this question."""
    return not spec.source.builds or manifest.inputs == spec.source.inputs


def satisfies(manifest: DatasetManifest, spec: DatasetSpec) -> bool:
    """Say whether this version is what the run asks for; `existing` asks for whatever is there."""
    return not spec.source.builds or manifest.source == spec.source.identity


def _builds_that_began(canonical: Path, spec: DatasetSpec) -> frozenset[str]:
    """Name the builds that are too old for `refresh: Always`, looked up before any waiting.

    One that is under way may have asked the world before this run did; where the source is pinned to its
    content, that makes no difference.
    """
    ended = frozenset(manifest.build for _, manifest in versions(canonical))
    return ended if spec.source.pinned else ended | builds_under_way(canonical)


def _built_meanwhile(canonical: Path, spec: DatasetSpec, known: frozenset[str]) -> ResolvedDataset | None:
    """Take what another run built while this one waited: N runs with Always fetch once, not N times."""
    if spec.refresh is not Refresh.ALWAYS or not spec.source.builds:
        return None
    for folder, manifest in versions(canonical):
        if manifest.build not in known and satisfies(manifest, spec) and is_current(manifest, folder):
            print_line("another run has just made this dataset while this one waited; it is used")
            point_to(canonical, folder)
            return ResolvedDataset(folder, manifest)
    return None


def _refuse_early(canonical: Path, spec: DatasetSpec) -> None:
    """Refuse before anything is made or locked."""
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
    """Verify what a user put there, and take it as it is."""
    folder = folder_of(canonical)
    if not looks_like_dataset(folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{canonical} holds no Qlib dataset of daily bars: calendars/day.txt, features/ and instruments/ "
            "are missing.",
        )
    before = DatasetManifest.read(manifest_path(folder))
    manifest = describe(folder, DatasetOrigin("existing") if before is None else DatasetOrigin.of(before))
    refuse_changed(folder, manifest.fingerprint)
    manifest.write(manifest_path(folder))
    return ResolvedDataset(folder, manifest)


def _reuse(canonical: Path, spec: DatasetSpec) -> ResolvedDataset | None:
    """Find a version among the siblings that answers the same question, and point the name at it."""
    if spec.refresh is Refresh.ALWAYS:
        return None
    for folder, manifest in versions(canonical):
        if satisfies(manifest, spec):
            resolved = ResolvedDataset(folder, manifest) if is_current(manifest, folder) else _adopt(folder)
            resolved = _with_inputs(resolved, spec.source.inputs)
            point_to(canonical, folder)
            return resolved
    return None


def _with_inputs(resolved: ResolvedDataset, inputs: str) -> ResolvedDataset:
    """Remember files that were touched and found unchanged, so that they are not read again."""
    if resolved.manifest.inputs == inputs:
        return resolved
    manifest = replace(resolved.manifest, inputs=inputs)
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
