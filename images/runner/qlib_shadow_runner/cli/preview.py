"""What qrun would be given, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.ensure import Resolved, answers, find_fresh
from qlib_shadow_runner.dataset.publish import versions
from qlib_shadow_runner.discovery.plan import make_plan
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.limits import read_limits
from qlib_shadow_runner.volume import Volume
from qlib_shadow_runner.workflow.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.cli.manifest import Manifest
    from qlib_shadow_runner.spec import DatasetSpec


def preview(manifest: Manifest, data: Path) -> str:
    """Render the workflow against the dataset that is there."""
    spec = manifest.parse()
    volume = Volume(data.absolute())
    canonical = volume.locate(spec.dataset.path)
    dataset = spec.dataset.at(volume)
    resolved = find_fresh(canonical, dataset) or _published(canonical, dataset)
    workflow = render(
        spec,
        make_plan(resolved.dataset, spec.workflow),
        provider_uri=str(resolved.folder),
        fingerprint=resolved.manifest.fingerprint,
        threads=read_limits().threads,
    )
    return workflow.text


def _published(canonical: Path, spec: DatasetSpec) -> Resolved:
    for folder, found in versions(canonical):
        if answers(found, spec):
            return Resolved(folder, found)
    raise StageError(
        Reason.DATASET_MISSING,
        f"there is no verified dataset at {canonical} to render for. "
        "Run the manifest once, which makes or verifies it.",
    )
