"""What qrun would be given, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.ensure import Resolved, answers, find_fresh
from qlib_shadow_runner.dataset.publish import versions
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.limits import read_limits
from qlib_shadow_runner.volume import Volume
from qlib_shadow_runner.workflow.prepare import prepare
from qlib_shadow_runner.workflow.render import Surroundings

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.cli.manifest import Manifest
    from qlib_shadow_runner.spec import DatasetSpec
    from qlib_shadow_runner.workflow.templates import Template


def preview(manifest: Manifest, template: Template, data: Path) -> str:
    """Render the workflow against the dataset that is there."""
    spec = manifest.parse()
    volume = Volume(data.absolute())
    canonical = volume.locate(spec.dataset.path)
    dataset = spec.dataset.at(volume)
    resolved = find_fresh(canonical, dataset) or _published(canonical, dataset)
    here = Surroundings(str(resolved.folder), resolved.manifest.fingerprint, read_limits().threads)
    return prepare(spec, template, resolved.dataset, here).workflow.text


def _published(canonical: Path, spec: DatasetSpec) -> Resolved:
    for folder, found in versions(canonical):
        if answers(found, spec):
            return Resolved(folder, found)
    raise StageError(
        Reason.DATASET_MISSING,
        f"there is no verified dataset at {canonical} to render for. "
        "Run the manifest once, which makes or verifies it.",
    )
