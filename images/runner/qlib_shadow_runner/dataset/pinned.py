"""Find a dataset version on the volume by its fingerprint; this never builds one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import SHORT_FINGERPRINT, Reason, version_path
from qlib_shadow_runner.dataset.ensure import ResolvedDataset
from qlib_shadow_runner.dataset.manifest import DatasetManifest, is_current, manifest_path
from qlib_shadow_runner.dataset.publish import has_content, named_version, versions
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN: Final = 5
"""The number of versions that an error sentence lists."""


def find_pinned(canonical: Path, fingerprint: str) -> ResolvedDataset:
    """Return the version with this fingerprint, or raise which versions exist and how to get it."""
    folder = Path(version_path(str(canonical), fingerprint))
    manifest = DatasetManifest.read(manifest_path(folder))
    if manifest is None or not has_content(folder) or not manifest.fingerprint.startswith(fingerprint):
        raise _missing(canonical, fingerprint)
    if not is_current(manifest, folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{folder} was changed after it was verified. Run once with spec.dataset.source instead of "
            "version, which verifies it again.",
        )
    return ResolvedDataset(folder, manifest)


def _missing(canonical: Path, fingerprint: str) -> StageError:
    sentence = f"there is no version {fingerprint} of the dataset at {canonical}; "
    if canonical.is_dir() and named_version(canonical) is None:
        remedy = (
            "the folder there was not made by qlib-shadow and has no versions. Write source: {existing: {}} "
            "instead of version."
        )
    else:
        there = ", ".join(_listed(canonical))
        remedy = (
            f"{f'its versions are {there}' if there else 'it has none'}. Correct spec.dataset.version, or "
            "run once with spec.dataset.source instead, which makes a version."
        )
    return StageError(Reason.DATASET_MISSING, sentence + remedy)


def _listed(canonical: Path) -> Iterator[str]:
    """Yield descriptions of the newest versions."""
    for _, found in list(versions(canonical))[:SHOWN]:
        yield f"{found.fingerprint[:SHORT_FINGERPRINT]} (to {found.calendar_end})"
