"""The runs beside a run whose training is finished, and whose metadata have a certain value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import METADATA_FILE
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.contract.stages import is_trained
from qlib_shadow_runner.storage.untrusted import DOCUMENT, names_in, read_file, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def finished_runs_with(folder: Path, key: str, value: str) -> list[tuple[Path, Mapping[str, object]]]:
    """Return the runs beside a run that have trained and have this value, with their metadata, oldest first.

    A ledger that failed, or is still at work, says nothing against model and signals.
    """
    found = []
    for name in names_in(folder.parent):
        metadata = _metadata(folder.parent, name, key, value) if name != folder.name else {}
        if is_trained(metadata):
            found.append((folder.parent / name, metadata))
    return sorted(found, key=lambda pair: str(pair[1].get("finished_at_utc")))


def _metadata(runs: Path, name: str, key: str, value: str) -> Mapping[str, object]:
    """Return a run's metadata if they have the value; most have not, and need not be parsed."""
    if run_id_fault(name) is not None:
        return {}
    try:
        if value.encode() not in read_file(runs, f"{name}/{METADATA_FILE}", DOCUMENT):
            return {}
        metadata = read_object(runs, f"{name}/{METADATA_FILE}")
    except OSError:  # it is no run, is being removed, or is damaged, as the list of runs tells
        return {}
    return metadata if metadata.get(key) == value and metadata.get("run_id") == name else {}
