"""`qlib-shadow render`: print the workflow that qrun would get, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.prices_in_place import volume_with
from qlib_shadow_runner.cli.run_manifest import load_manifest
from qlib_shadow_runner.cli.user_template import template_of
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.dataset.ensure import ResolvedDataset, check_claims, find_fresh, satisfies
from qlib_shadow_runner.dataset.pinned import find_pinned
from qlib_shadow_runner.dataset.publish import versions
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_text
from qlib_shadow_runner.process.limits import read_limits
from qlib_shadow_runner.stages.live import live_days_of
from qlib_shadow_runner.workflow.prepare import RenderContext, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.cli.run_manifest import RunManifest
    from qlib_shadow_runner.dataset.asked import DatasetSpec
    from qlib_shadow_runner.storage.volume import Volume
    from qlib_shadow_runner.workflow.prepare import Research
    from qlib_shadow_runner.workflow.templates import Template


def print_preview(
    file: Path, template: Path | None, data: Path, *, prices: Path | None, as_json: bool
) -> int:
    """Print the workflow; as JSON with the hashes that identify it."""
    manifest = load_manifest(file)
    research = preview(manifest, template_of(manifest, template), volume_with(data, manifest, prices))
    workflow = research.workflow
    if as_json:
        print_json(
            {
                "workflow": workflow.document,
                "text": workflow.text,
                "configHash": research.config_hash,
                "sha256": workflow.sha256,
            }
        )
    else:
        print_text(workflow.text)
    return ExitCode.DONE


def preview(manifest: RunManifest, template: Template, volume: Volume) -> Research:
    """Return the workflow, rendered for the dataset that is on the volume, of a run that trains."""
    spec = manifest.parse()
    canonical = volume.locate(spec.dataset.path)
    dataset = spec.dataset.at(volume)
    if dataset.version is not None:
        resolved = find_pinned(canonical, dataset.version)
    else:
        resolved = find_fresh(canonical, dataset) or _published(canonical, dataset)
    check_claims(resolved.manifest, dataset)
    context = RenderContext(str(resolved.folder), resolved.manifest.fingerprint, read_limits().threads)
    research = prepare(spec, template, resolved.dataset, context)
    live = live_days_of(spec.workflow.live, research, resolved)
    return research if live is None else research.refitting(live, context.fingerprint, kept=False)


def _published(canonical: Path, spec: DatasetSpec) -> ResolvedDataset:
    for folder, found in versions(canonical):
        if satisfies(found, spec):
            return ResolvedDataset(folder, found)
    raise StageError(
        Reason.DATASET_MISSING,
        f"there is no verified dataset at {canonical} to render for. "
        "Run the manifest once, which makes or verifies it.",
    )
