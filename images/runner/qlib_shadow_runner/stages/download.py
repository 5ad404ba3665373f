"""The download stage: the dataset is there, verified, and this run knows which version it uses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from qlib_shadow_runner.dataset.archive.environment import download_environment
from qlib_shadow_runner.dataset.ensure import Resolved, check_age, check_claims, check_quality, find_fresh
from qlib_shadow_runner.dataset.manifest import Manifest, manifest_path
from qlib_shadow_runner.dataset.publish import folder_of
from qlib_shadow_runner.stages.dataset import dataset_sentence, introduce_dataset
from qlib_shadow_runner.stages.outcome import Outcome, Workbench


def download(bench: Workbench) -> Outcome:
    """Find the dataset, or have it made in a child; then look at its age."""
    volume, spec, today = bench.context.volume, bench.spec.dataset, datetime.now(UTC).date()
    canonical = volume.locate(spec.path)
    if canonical.exists():
        volume.name(folder_of(canonical))  # refuses what leaves the volume before it is read
    resolved = find_fresh(canonical, spec.at(volume)) or _ensure(bench, canonical)
    check_claims(resolved.manifest, spec)
    warning = check_age(resolved.manifest, spec.max_age_days, today)
    quality = check_quality(resolved.manifest, spec.quality, today)
    found = introduce_dataset(bench, resolved, quality, warning)
    return Outcome(dataset_sentence(found), dataset=found)


def _ensure(bench: Workbench, canonical: Path) -> Resolved:
    volume = bench.context.volume
    arguments = {"canonical": str(canonical), "mount": str(volume.mount)}
    # The spec travels in the environment: a signed URL in it must not be seen in the list of processes.
    environ = {**bench.environ, **download_environment(bench.context.environ)}
    report = bench.supervisor.step("dataset", arguments, environ=environ, cwd=str(bench.scratch))
    folder = Path(str(report["folder"]))
    manifest = Manifest.read(manifest_path(folder))
    assert manifest is not None, "the step has just written it"
    return Resolved(folder, manifest)
