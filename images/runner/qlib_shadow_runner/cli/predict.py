"""`qlib-shadow predict`: ask a finished run's question of the data as it is now, with that run's model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.cli.deadline import deadlines
from qlib_shadow_runner.cli.local_run import run_request
from qlib_shadow_runner.cli.prices_in_place import volume_with
from qlib_shadow_runner.cli.run_manifest import RunManifest
from qlib_shadow_runner.contract import LOCAL_NAMESPACE, Reason
from qlib_shadow_runner.contract.spec.workflow import FROM
from qlib_shadow_runner.contract.stages import is_trained
from qlib_shadow_runner.errors import DamagedFileError, StageError
from qlib_shadow_runner.refusals import mapping
from qlib_shadow_runner.runs.asked import ASKED_FILE, Asked
from qlib_shadow_runner.runs.listing import (
    STATUS_DAMAGED,
    STATUS_NOT_GOLDEN,
    artifacts_root,
    existing_volume,
    find_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.runs.listing import ListedRun

OF_ANOTHER_RUN: Final = frozenset({"runId", "reuse"})
"""Fields that belong to the run that trained."""


UNFIT: Final = frozenset({STATUS_DAMAGED, STATUS_NOT_GOLDEN})
"""The statuses of runs that have trained and are not to be gone on from."""


def predict_with(run: str, data: Path, *, prices: Path | None, deadline: str | None, as_json: bool) -> int:
    """Run the question of a run with its model, then verify it."""
    found = find_run(data, run)
    if found.folder.parent != artifacts_root(existing_volume(data)):
        _refuse(f"{found.folder} is not on the volume {data}; name its data folder with --data")
    if found.status in UNFIT or not is_trained(found.metadata):
        _refuse(
            f"the run {found.run_id} is {found.status}; only a run that has trained well has a model to "
            "predict with"
        )
    manifest, template = _question(found)
    limits = deadlines(manifest.parse(), deadline)
    request = manifest.request(datetime.now(UTC), template)
    return run_request(request, volume_with(data, manifest, prices), limits, template, as_json=as_json)


def _question(found: ListedRun) -> tuple[RunManifest, str | None]:
    """Return the manifest that asks the same with the run's model, and its own template."""
    try:
        asked = Asked.read(found.folder)
    except DamagedFileError as error:
        raise StageError(Reason.INVALID_SPEC, f"{error}; it says what to predict") from error
    if asked is None:
        _refuse(
            f"the run {found.run_id} does not say what it was asked: {ASKED_FILE} is missing or damaged; "
            f"write a manifest with workflow.model.from: {found.run_id}"
        )
    spec = {key: value for key, value in asked.spec.items() if key not in OF_ANOTHER_RUN}
    workflow = {**mapping(spec.get("workflow", {}), "spec.workflow")}
    workflow.pop("retrain", None)
    workflow["model"] = {**mapping(workflow.get("model", {}), "spec.workflow.model"), FROM: found.run_id}
    dataset = {**mapping(spec.get("dataset", {}), "spec.dataset")}
    dataset.pop("version", None)  # the data as it is now
    metadata = found.metadata
    name, namespace = metadata.get("name") or found.run_id, metadata.get("namespace") or LOCAL_NAMESPACE
    spec |= {"workflow": workflow, "dataset": dataset}
    return RunManifest(str(name), str(namespace), spec, found.folder / ASKED_FILE), asked.template


def _refuse(sentence: str) -> NoReturn:
    raise StageError(Reason.INVALID_SPEC, sentence)
