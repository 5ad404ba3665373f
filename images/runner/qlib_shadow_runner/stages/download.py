"""The download stage: provide a verified dataset and record which version the run uses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from qlib_shadow_runner.contract import ENV_DEADLINE_SECONDS, ENV_REQUEST, ENV_TEMPLATE
from qlib_shadow_runner.dataset.archive.network_variables import download_environment
from qlib_shadow_runner.dataset.ensure import (
    ResolvedDataset,
    check_age,
    check_claims,
    check_quality,
    find_fresh,
)
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.publish import folder_of
from qlib_shadow_runner.dataset.quality.policy import Policy
from qlib_shadow_runner.stages.dataset_facts import dataset_sentence, introduce_dataset
from qlib_shadow_runner.stages.outcome import Outcome, StageContext


def download(context: StageContext) -> Outcome:
    """Find the dataset or build it in a child process, then check its region, age and quality."""
    volume, spec, today = context.stage_input.volume, context.spec.dataset, datetime.now(UTC).date()
    canonical = volume.locate(spec.path)
    if canonical.exists():
        volume.name(folder_of(canonical))  # refuses a link that leaves the volume before it is read
    resolved = find_fresh(canonical, spec.at(volume))
    if resolved is None:
        _check_workflow(context)
        resolved = _ensure(context, canonical)
    check_claims(resolved.manifest, spec)
    warning = check_age(resolved.manifest, spec.max_age_days, today)
    quality = check_quality(resolved.manifest, Policy.of(spec.quality), today)
    found = introduce_dataset(context, resolved, quality, warning)
    return Outcome(dataset_sentence(found), dataset=found)


def _check_workflow(context: StageContext) -> None:
    """Refuse a workflow that no dataset can make right before an hour of download.

    In a child of its own: templates are untrusted, so it has no credentials, and this process no Jinja.
    """
    around = context.stage_input.environ
    told = {name: around[name] for name in (ENV_REQUEST, ENV_TEMPLATE) if name in around}
    context.supervisor.step("workflow", {}, environ={**context.environ, **told}, cwd=str(context.scratch))


def _ensure(context: StageContext, canonical: Path) -> ResolvedDataset:
    volume = context.stage_input.volume
    in_place = {} if volume.prices is None else {"prices": str(volume.prices)}
    arguments = {"canonical": str(canonical), "mount": str(volume.mount), **in_place}
    # The child reads the spec from the environment, so that a signed URL is not shown in the process list.
    told = context.spec.stages.download.active_deadline_seconds
    deadline = {} if told is None else {ENV_DEADLINE_SECONDS: str(told)}
    environ = {**context.environ, **deadline, **download_environment(context.stage_input.environ)}
    report = context.supervisor.step("dataset", arguments, environ=environ, cwd=str(context.scratch))
    folder = Path(str(report["folder"]))
    manifest = DatasetManifest.read(manifest_path(folder))
    assert manifest is not None, "the step has just written it"
    return ResolvedDataset(folder, manifest)
