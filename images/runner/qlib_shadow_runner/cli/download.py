"""`qlib-shadow download`: the dataset of a manifest, made or verified by the same stage as in a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.local_run import Interruption, LocalRunOptions, report_failure, run_stage_here
from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.cli.run_manifest import load_manifest, local_run_id
from qlib_shadow_runner.contract import ExitCode, Stage
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.listing import STATUS_DOWNLOADED
from qlib_shadow_runner.storage.volume import Volume, make_folder

if TYPE_CHECKING:
    from pathlib import Path


def download_here(file: Path, data: Path, *, as_json: bool) -> int:
    """Do the download stage alone, in a run folder of its own that keeps the log."""
    manifest, now = load_manifest(file), datetime.now(UTC)
    request = manifest.request(now)
    # Never the spec's runId: that folder is for the run that is still to come.
    request["runId"] = local_run_id(f"download-{manifest.name}", now)
    volume = Volume(data.absolute())
    make_folder(volume.mount)
    folder = RunFolder(volume.run_folder(request["runId"]))
    with Interruption() as interruption:
        result = run_stage_here(Stage.DOWNLOAD, request, volume, interruption, LocalRunOptions(as_json))
        if result["exitCode"] != ExitCode.DONE:
            return report_failure(result, folder.path, interruption, as_json=as_json)
    folder.update_metadata(
        status=STATUS_DOWNLOADED, reason=result["reason"], finished_at_utc=result["finishedAt"]
    )
    if as_json:
        print_json({**result, "folder": str(folder.path)})
    return ExitCode.DONE
