"""`qlib-shadow download`: make or verify the dataset of a manifest, by the same stage as in a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.deadline import deadlines
from qlib_shadow_runner.cli.local_run import Interruption, LocalRunOptions, report_failure, run_stage_here
from qlib_shadow_runner.cli.prices_in_place import volume_with
from qlib_shadow_runner.cli.run_manifest import load_manifest, local_run_id
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.stages import STAGES, Access, stages_of
from qlib_shadow_runner.dataset.pinned import find_pinned
from qlib_shadow_runner.printing import print_json, print_line
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.listing import STATUS_DOWNLOADED
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.dataset.asked import DatasetSpec
    from qlib_shadow_runner.storage.volume import Volume


def download_here(file: Path, data: Path, *, prices: Path | None, deadline: str | None, as_json: bool) -> int:
    """Run the download stage alone, in a run folder of its own that keeps the log."""
    manifest, now = load_manifest(file), datetime.now(UTC)
    limits = deadlines(manifest.parse(), deadline)
    volume = volume_with(data, manifest, prices)
    stage = next((one for one in stages_of(manifest.spec) if STAGES[one].dataset is Access.WRITTEN), None)
    if stage is None:
        return _nothing_to_do(manifest.parse().dataset, volume, as_json=as_json)
    request = manifest.request(now)
    # Not the spec's runId: that folder is for the run itself.
    request["runId"] = local_run_id(f"download-{manifest.name}", now)
    make_folder(volume.mount)
    folder = RunFolder(volume.run_folder(request["runId"]))
    with Interruption() as interruption:
        result = run_stage_here(stage, request, volume, interruption, LocalRunOptions(as_json, limits))
        if result["exitCode"] != ExitCode.DONE:
            return report_failure(result, folder.path, interruption, as_json=as_json)
    folder.update_metadata(
        status=STATUS_DOWNLOADED, reason=result["reason"], finished_at_utc=result["finishedAt"]
    )
    if as_json:
        print_json({**result, "folder": str(folder.path)})
    return ExitCode.DONE


def _nothing_to_do(spec: DatasetSpec, volume: Volume, *, as_json: bool) -> int:
    """Print that the version which the manifest names is on the volume; a missing one is an error."""
    assert spec.version is not None, "only such a run has no stage that writes the dataset"
    folder = find_pinned(volume.locate(spec.path), spec.version).folder
    message = f"there is nothing to download: spec.dataset.version names {folder}, which is there"
    if as_json:
        print_json({"reason": Reason.SUCCEEDED, "message": message, "exitCode": ExitCode.DONE})
    else:
        print_line(message)
    return ExitCode.DONE
