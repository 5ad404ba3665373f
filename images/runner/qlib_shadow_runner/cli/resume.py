"""Which interrupted run `qlib-shadow run --resume` continues: the newest of this manifest as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.folder import OWNER_FILE
from qlib_shadow_runner.runs.listing import (
    ENDED,
    STATUS_FAILED,
    STATUS_INTERRUPTED,
    all_runs,
    existing_volume,
)
from qlib_shadow_runner.storage.files import read_json_object_of_others

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.cli.run_manifest import RunManifest
    from qlib_shadow_runner.runs.listing import ListedRun

UNFINISHED = frozenset({STATUS_FAILED, STATUS_INTERRUPTED})


def run_to_continue(manifest: RunManifest, template: str | None, data: Path) -> str | None:
    """Return the id of the run to continue; None where the spec names its runId, which says it already."""
    if manifest.parse().run_id is not None:
        return None
    ours = [run for run in all_runs(existing_volume(data)) if run.metadata.get("name") == manifest.name]
    for run in ours:
        if _is_unfinished(run) and _uid(run) == manifest.uid(run.run_id, template):
            return run.run_id
    changed = [run.run_id for run in ours if _is_unfinished(run)]
    hint = f" ({changed[0]} was made by the file before it was changed)" if changed else ""
    raise StageError(
        Reason.INVALID_SPEC,
        f'there is no interrupted run of "{manifest.name}" in {data} that {manifest.path} can continue'
        f"{hint}; "
        "leave --resume out to start a new run",
    )


def _is_unfinished(run: ListedRun) -> bool:
    return run.status in UNFINISHED or run.status not in ENDED


def _uid(run: ListedRun) -> object:
    return (read_json_object_of_others(run.folder / OWNER_FILE, run.folder) or {}).get("uid")
